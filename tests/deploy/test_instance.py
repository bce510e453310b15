"""The three dagster.yaml: one policy, read by Dagster's own loader. The two over Postgres are opened in test_postgres.py."""

import logging
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.config import PoolGranularity
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._daemon.monitoring.concurrency import execute_concurrency_slots_iteration

from assets.policy import GPU_POOL

DEPLOY = Path(__file__).parents[2] / "deploy"
LOCAL = DEPLOY / "dagster.yaml"


def settings(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_one_machine_without_a_server(tmp_path: Path) -> None:
    """What the settings are for, asked of the instance that they make."""
    shutil.copyfile(LOCAL, tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        pools = instance.get_concurrency_config().pool_config
        assert (pools.pool_granularity, pools.default_pool_limit) == (PoolGranularity.OP, 1)
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        days = instance.get_tick_retention_settings(InstigatorType.SCHEDULE)
        assert 0 < days[TickStatus.SKIPPED] < days[TickStatus.SUCCESS] < days[TickStatus.FAILURE]
        assert days == instance.get_tick_retention_settings(InstigatorType.SENSOR)


def test_a_cancelled_run_gives_its_slot_of_a_pool_back(tmp_path: Path) -> None:
    """Dagster leaves it taken for ever (dagster#28456) unless the daemon's watch over runs, which looks here, is told so."""
    shutil.copyfile(LOCAL, tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        storage, daemon = instance.event_log_storage, cast("Any", SimpleNamespace(instance=instance))
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        storage.initialize_concurrency_limit_to_default(GPU_POOL)
        assert storage.claim_concurrency_slot(GPU_POOL, run.run_id, "training").is_claimed
        assert not storage.claim_concurrency_slot(GPU_POOL, "the next run", "training").is_claimed
        instance.report_run_canceled(run)
        later = time.time() + instance.run_monitoring_settings["free_slots_after_run_end_seconds"] + 60
        with freeze_time(later):
            list(execute_concurrency_slots_iteration(daemon, logging.getLogger("test")))
        assert storage.claim_concurrency_slot(GPU_POOL, "the next run", "training").is_claimed


@pytest.mark.parametrize("other", ["compose", "kubernetes"])
def test_the_policy_is_the_same_everywhere(other: str) -> None:
    """What a demo shows must be what a deployment does; only storage, launcher and patience differ."""
    here, there = settings(LOCAL), settings(DEPLOY / other / "dagster.yaml")
    for section in ("telemetry", "nux", "concurrency", "retention", "python_logs"):
        assert there[section] == here[section], section
    assert here["run_monitoring"].keys() <= there["run_monitoring"].keys()


def test_both_deployments_name_the_same_database() -> None:
    assert (
        settings(DEPLOY / "compose" / "dagster.yaml")["storage"]
        == settings(DEPLOY / "kubernetes" / "dagster.yaml")["storage"]
    )
