"""The plan as an asset: what the next run would do, looked at before it is started."""

import dagster as dg

from assets.policy import OVERVIEW
from assets.recipe import RECIPE
from resources.stages import StageRunner

NOTHING_BLOCKED = "nothing_blocked"


@dg.asset(
    name="plan",
    group_name=OVERVIEW,
    kinds={"table"},
    owners=[RECIPE.owner],
    check_specs=[
        dg.AssetCheckSpec(
            NOTHING_BLOCKED,
            asset="plan",
            description="Every asset can be made. When it fails, the table names the file that is missing, or what else a "
            "run would fail at; mend that before starting one.",
        )
    ],
)
def plan_of_next_run(context: dg.AssetExecutionContext, runner: StageRunner) -> dg.MaterializeResult:
    """What materializing everything would reuse, make or fail at, why, and what it costs. Materialize it to look anew."""
    from lifecycle.plan import markdown, plan
    from lifecycle.plan.rendering import headline

    lines = plan(runner.recipe, runner.store.open())
    blocked = [f"{line.name}: {line.why}" for line in lines if line.action == "blocked"]
    context.log.info("%s", headline(lines))
    return dg.MaterializeResult(
        metadata={
            "plan": dg.MetadataValue.md(markdown(lines)),
            "to run": sum(line.action == "run" for line in lines),
            "to reuse": sum(line.action == "reuse" for line in lines),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not blocked, check_name=NOTHING_BLOCKED, metadata={"blocked": "\n".join(blocked) or "nothing"}
            )
        ],
    )
