"""GPU-hours: what every job of a store took, whether it ended well, badly, or not at all."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from lifecycle.files import write_atomically
from lifecycle.jobs import TrainingJob
from lifecycle.recipe.base import Section

PLACE = ".usage"
RUNS = ".runs"


class Use(Section):
    """One job that held processes, each with a GPU where there are GPUs, from `started` on."""

    stage: str
    fingerprint: str
    """Of the artifact that it was for."""
    processes: int
    run_id: str
    """Of Dagster."""
    started: float
    """Seconds since 1970."""
    seconds: float | None = None
    """None while it runs, or where its supervisor was killed."""


@contextmanager
def counted(job: TrainingJob, run_id: str) -> Iterator[None]:
    """Record that `job` runs within this block. The record is there from the first moment, so that nothing is free."""
    store, artifact = _place(job)
    use = Use(stage=job.stage, fingerprint=artifact, processes=job.processes, run_id=run_id, started=time.time())
    path = store / PLACE / f"{int(use.started)}-{job.stage}-{uuid.uuid4().hex[:8]}-{artifact}.json"
    write_atomically(path, use.model_dump_json())
    begun = time.monotonic()
    try:
        yield
    finally:
        write_atomically(path, use.model_copy(update={"seconds": time.monotonic() - begun}).model_dump_json())


def _place(job: TrainingJob) -> tuple[Path, str]:
    """The store, and the fingerprint of the artifact that the job is for: a stage with several jobs gives each its own."""
    run_dir = Path(job.run_dir)
    for path in (run_dir, *run_dir.parents):
        if path.parent.name == RUNS:
            return path.parent.parent, path.name
    return run_dir, job.fingerprint


def uses(store: Path, artifact: str = "") -> Iterator[Use]:
    """All records, or those of the artifact with this fingerprint; one that cannot be read is left out."""
    directory = store / PLACE
    for name in sorted(os.listdir(directory)) if directory.is_dir() else ():
        if not name.endswith(f"{artifact}.json"):
            continue
        try:
            yield Use.model_validate_json((directory / name).read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue


def gpu_hours(found: Iterator[Use], since: float, until: float, ended: Callable[[str], float | None]) -> float:
    """Hours times processes that lie between two moments.

    Args:
        ended: when a Dagster run ended, for jobs that nobody saw end; None while it goes on.
    """
    total = 0.0
    for use in found:
        end = ended(use.run_id) if use.seconds is None else use.started + use.seconds
        end = until if end is None else end
        total += max(0.0, min(end, until) - max(use.started, since)) * use.processes
    return total / 3600


def hours_of(store: Path, artifact: str) -> float:
    """Hours times processes of all jobs that ran for one artifact, failed ones too; of a killed one nothing is known."""
    return gpu_hours(uses(store, artifact), 0.0, float("inf"), lambda _: 0.0)
