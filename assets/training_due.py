"""The check that proposes to train the base model again, in the graph of a recipe that asks for it."""

import dagster as dg

from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import BASE_MODEL, PRETRAIN_MEMMAP, stages_of
from resources.stages import StageRunner

TRAINING_DUE = "training_due"


def training_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """The check, or none where the recipe asks for none or trains no base model."""
    if recipe.operation.training is None or PRETRAIN_MEMMAP not in stages_of(recipe):
        return []

    @dg.asset_check(
        asset=[recipe.name, PRETRAIN_MEMMAP.name],
        name=TRAINING_DUE,
        additional_deps=[[recipe.name, BASE_MODEL.name]],  # in a run that trains, it looks at the new model
        description="New text beside what the last base model saw. When it fails, there is more of it than the recipe's "
        "threshold: its message names the job to launch and what it will cost.",
    )
    def training_due(runner: StageRunner) -> dg.AssetCheckResult:
        from lifecycle.training_due import judge

        verdict = judge(runner.recipe, runner.store.open())
        metadata = {
            "new tokens": verdict.new_tokens,
            "tokens seen by the last base model": verdict.seen_tokens,
            "tokens seen and gone since": verdict.gone_tokens,
            "share": verdict.share,
            "threshold": verdict.threshold,
            "cost is": verdict.cost_from,
        }
        if verdict.gpu_hours is not None:
            metadata["estimated GPU-hours"] = verdict.gpu_hours
        return dg.AssetCheckResult(
            passed=not verdict.due,
            severity=dg.AssetCheckSeverity.WARN,
            description=verdict.sentence(),
            metadata=metadata,
        )

    return [training_due]
