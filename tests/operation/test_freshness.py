"""A corpus that grows old, judged by the freshness daemon of Dagster and seen as its pages see it."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.freshness import FreshnessDaemon
from dagster_graphql.test.utils import execute_dagster_graphql

from assets.alerts import freshness
from lifecycle.recipe.operation import Alerts

SHOWN = "{assetNodes {freshnessStatusInfo {freshnessStatus}}}"


@dg.asset(freshness_policy=freshness(Alerts(stale_after_days=3)))
def corpus() -> None: ...


defs = dg.Definitions(assets=[corpus])


def test_a_corpus_goes_stale_and_a_new_one_is_fresh_again() -> None:
    target = LoadableTargetOrigin(module_name=__name__, attribute="defs")
    with (
        dg.instance_for_test() as instance,
        WorkspaceProcessContext(instance, InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))) as process,
    ):
        assert FreshnessDaemon.daemon_type() in instance.get_required_daemon_types()
        daemon = FreshnessDaemon()

        def shown(day: float) -> str | None:
            """What the asset's page says so many days from now, after the daemon has looked."""
            with freeze_time(datetime.now(UTC) + timedelta(days=day)):
                list(daemon.run_iteration(process))
                found = execute_dagster_graphql(process.create_request_context(), SHOWN)
            (node,) = found.data["assetNodes"]
            return node["freshnessStatusInfo"]["freshnessStatus"]

        assert shown(0) == "UNKNOWN"
        assert dg.materialize([corpus], instance=instance).success
        assert [shown(day) for day in (0, 2.9, 3.1, 30)] == ["HEALTHY", "HEALTHY", "DEGRADED", "DEGRADED"]
        assert dg.materialize([corpus], instance=instance).success
        assert shown(0) == "HEALTHY"
