"""`lifecycle run`: the whole graph of one recipe, in one process, recorded in the same Dagster instance as the UI."""

import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster_shared.utils.warnings import PreviewWarning

from lifecycle.errors import LifecycleError
from lifecycle.plan.walk import needed

PROJECT = Path(__file__).resolve().parents[1]
OWN_ERROR = re.compile(r"^lifecycle\.errors\.\w+: ")
PROCESS_TAG = "lifecycle/process"


@dataclass(frozen=True)
class AssetOutcome:
    """One materialization of this run. `name` is the asset's, with `/<source>` where it is partitioned."""

    name: str
    seconds: float
    """What making the artifact took, when it was made."""
    reused: bool
    fingerprint: str
    digest: str
    metadata: dict[str, Any] = field(repr=False)


def prepare_home(home: Path, recipe: Path) -> None:
    """Make `home` the place of this process's Dagster instance, store and tracking database."""
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    settings = PROJECT / "deploy" / "dagster.yaml"
    shutil.copyfile(settings, dagster_home / "dagster.yaml")
    os.environ.update(
        DAGSTER_HOME=str(dagster_home), LIFECYCLE_HOME=str(home), LIFECYCLE_RECIPE=str(recipe), DO_NOT_TRACK="1"
    )


def run_graph(select: Sequence[str] = ()) -> list[AssetOutcome]:
    """Materialize every asset of the recipe, or those of these names with what they are made from, reusing what exists.

    Raises:
        RecipeError: the recipe has no asset of such a name.
        LifecycleError: a step failed; the message is the step's own, without its stack trace.
        KeyboardInterrupt: it was interrupted.
    """
    from assets.definitions import defs
    from assets.jobs import CURATE, LEARN_QUALITY, TRAIN_AND_ALIGN
    from assets.recipe import RECIPE, SOURCES

    # Dagster warns of a preview method that its own Pipes session calls; nobody here can act on it.
    warnings.filterwarnings("ignore", category=PreviewWarning, module=r"dagster\._core\.pipes")
    with dg.DagsterInstance.get() as instance:
        outcomes: list[AssetOutcome] = []
        if RECIPE.quality_model:
            outcomes += _execute(defs.resolve_job_def(LEARN_QUALITY), instance, None)
        for source in SOURCES.get_partition_keys():
            outcomes += _execute(defs.resolve_job_def(CURATE), instance, source)
        job = defs.resolve_job_def(TRAIN_AND_ALIGN)
        wanted = sorted(needed(RECIPE, select))
        keys = [dg.AssetKey([RECIPE.name, name]) for name in wanted]
        chosen = [key for key in keys if key in job.asset_layer.executable_asset_keys] if select else None
        if chosen != []:
            outcomes += _execute(job, instance, None, chosen)
        return outcomes


def _execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partition: str | None, only: list[dg.AssetKey] | None = None
) -> list[AssetOutcome]:
    _close_dead_runs(instance)  # before every job: a run that was killed just now may take a moment to be gone
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        asset_selection=only,
        raise_on_error=False,
        tags={PROCESS_TAG: _process_identity(os.getpid())},
        run_config={"loggers": {"console": {"config": "INFO"}}},
    )
    if not result.success:
        raise LifecycleError(_failure(result))
    return list(_outcomes(result, partition))


def _outcomes(result: dg.ExecuteInProcessResult, partition: str | None) -> Iterator[AssetOutcome]:
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        metadata: dict[str, Any] = {key: value.value for key, value in materialization.metadata.items()}
        name = materialization.asset_key.path[-1]
        yield AssetOutcome(
            name=f"{name}/{partition}" if partition else name,
            seconds=float(metadata.get("seconds", 0.0)),
            reused=bool(metadata.get("reused", False)),
            fingerprint=str(metadata.get("fingerprint", "")),
            digest=str(metadata.get("digest", "")),
            metadata=metadata,
        )


def _failure(result: dg.ExecuteInProcessResult) -> str:
    """What failed first, in its own words; raises KeyboardInterrupt where that was an interrupt."""
    for event in result.all_events:
        if event.is_step_failure or event.is_run_failure:
            error = event.step_failure_data.error if event.is_step_failure else event.job_failure_data.error
            while error and error.cause:
                error = error.cause
            if error and error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            asset = (event.step_key or "the run").split("__")[-1]
            message = error.message.strip() if error else event.message or "unknown error"
            return f"{asset} failed: {OWN_ERROR.sub('', message)}"
    return "the run failed and no event says why; see the Dagster UI"


def _process_identity(pid: int) -> str:
    """Process number and start time: unlike the number alone, never that of a later process."""
    return f"{pid}@{psutil.Process(pid).create_time():.2f}"


def _close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Runs of a killed `lifecycle run` would stay "started" in the UI for ever: mark them failed."""
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(filters=unfinished):
        identity = run.tags.get(PROCESS_TAG)
        if identity and not _is_alive(identity):
            instance.report_run_failed(run, "The process of this run was killed. `lifecycle run` continues its work.")
    _free_pool_slots(instance)


def _free_pool_slots(instance: dg.DagsterInstance) -> None:
    """A killed run keeps its slot of a pool, and the in-process executor would spin for it until the end of days."""
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def _is_alive(identity: str) -> bool:
    """Not so a dead process that nobody has asked for its status: a container's first process may never do that."""
    pid = int(identity.split("@")[0])
    try:
        return _process_identity(pid) == identity and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def timed_run(select: Sequence[str] = ()) -> tuple[list[AssetOutcome], float]:
    """`run_graph` and the seconds that it took."""
    started = time.monotonic()
    return run_graph(select), time.monotonic() - started
