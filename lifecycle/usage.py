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
    run_dir = Path(job.run_dir)
    store = next((path.parent for path in run_dir.parents if path.name == RUNS), run_dir)
    use = Use(stage=job.stage, fingerprint=job.fingerprint, processes=job.processes, run_id=run_id, started=time.time())
    path = store / PLACE / f"{int(use.started)}-{job.stage}-{uuid.uuid4().hex[:8]}.json"
    write_atomically(path, use.model_dump_json())
    begun = time.monotonic()
    try:
        yield
    finally:
        write_atomically(path, use.model_copy(update={"seconds": time.monotonic() - begun}).model_dump_json())


def uses(store: Path) -> Iterator[Use]:
    """All records; one that cannot be read is left out."""
    directory = store / PLACE
    for name in sorted(os.listdir(directory)) if directory.is_dir() else ():
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
