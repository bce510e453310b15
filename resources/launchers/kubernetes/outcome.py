"""What an attempt left on the store: its output until it is handed over, and what its launchers said of its end."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from lifecycle.errors import JobFailedError
from lifecycle.jobs import FILE as JOB
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import FILE, RESULT, Failure
from lifecycle.training.place import folder
from resources.launchers.kubernetes.record import LaunchRecord, attempt_folder

OUTPUT = "output"
TAKEN = "taken"
LAST_LINES = 50
GONE = "its Job is complete, but another run of this asset has taken its output; materialize it again to reuse that"


def output_folder(run_dir: Path, attempt: int) -> Path:
    """Where the launcher of node 0 puts the output of an attempt, whole, at its end."""
    return attempt_folder(run_dir, attempt) / OUTPUT


def logs_folder(run_dir: Path, attempt: int) -> Path:
    """The logs of an attempt's pods."""
    return attempt_folder(run_dir, attempt) / "logs"


def forget_ends(job: TrainingJob) -> None:
    """Nothing that an earlier attempt said of its end may be taken for that of the one to come."""
    run_dir = Path(job.run_dir)
    for node in range(job.nodes):
        (folder(run_dir, node) / FILE).unlink(missing_ok=True)
    (run_dir / RESULT).unlink(missing_ok=True)
    (run_dir / JOB).unlink(missing_ok=True)


def job_in_effect(job: TrainingJob) -> TrainingJob:
    """The job as node 0 ran it last: its launcher may have changed how. `job` itself where it has not come so far."""
    path = Path(job.run_dir) / JOB
    return TrainingJob.read(path) if path.exists() else job


def failures(job: TrainingJob) -> dict[int, Failure]:
    """What the launcher of each node, by its number, said of its end, where it could."""
    found = {node: Failure.read(folder(Path(job.run_dir), node)) for node in range(job.nodes)}
    return {node: failure for node, failure in found.items() if failure}


def last_lines(run_dir: Path, attempt: int, pod: str | None) -> list[str]:
    """The end of a pod's log, without the times."""
    path = logs_folder(run_dir, attempt) / f"{pod}.log"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return [line.split(" ", 1)[-1] for line in lines[-LAST_LINES:]]


def is_whole(run_dir: Path, attempt: int) -> bool:
    """Whether the attempt's result is there."""
    return (run_dir / RESULT).exists() and output_folder(run_dir, attempt).is_dir()


def take(job: TrainingJob, record: LaunchRecord) -> tuple[dict[str, Any], LaunchRecord]:
    """Hand the output over to `job.output`; the facts of the result, and the record that says so.

    The output is renamed first: of two supervisors one has it, and half an output is never adopted.

    Raises:
        JobFailedError: another supervisor has taken it.
    """
    run_dir = Path(job.run_dir)
    taken = attempt_folder(run_dir, record.attempt) / TAKEN
    facts = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    try:
        os.rename(output_folder(run_dir, record.attempt), taken)
    except FileNotFoundError as error:
        raise JobFailedError(f"{record.stage}: {GONE}", ExitClass.UNKNOWN.value) from error
    record = record.now(run_dir, state="taken")
    for path in taken.iterdir():
        shutil.move(path, Path(job.output) / path.name)
    taken.rmdir()
    return facts, record
