"""What is known of each attempt, kept beside the run and not in the cluster: a supervisor reads there what another began.

`<run_dir>/kubernetes/<attempt>/` holds `record.json`, the Pipes messages, the pods' logs and the output until it is whole.
"""

import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from lifecycle.files import write_atomically
from lifecycle.recipe.base import Section

FOLDER = "kubernetes"
RECORD = "record.json"


class LaunchRecord(Section):
    """One attempt. `state` is what its supervisor last knew.

    `begun`: it may or may not exist in the cluster; `released`: its pods may run; `failed`: it ended badly and nobody has
    been told; `told`: somebody has; `cancelled`: a person stopped it; `taken`: its output was handed over.
    """

    name: str
    namespace: str
    key: str
    attempt: int
    stage: str
    fingerprint: str
    asset: str
    partition: str | None
    dagster_run: str
    nodes: int
    gpus: int
    """Over all nodes."""
    began: float = Field(default_factory=time.time)
    retries: int = 0
    """How many failures in a row came before it that were retried without asking anybody."""
    avoid: tuple[str, ...] = ()
    micro_batch: int | None = None
    """What it runs with in place of the job's own, after one that ran out of memory."""
    state: Literal["begun", "released", "failed", "told", "cancelled", "taken"] = "begun"
    cause: str | None = None
    """Value of an `ExitClass`, once it has failed."""

    @property
    def open(self) -> bool:
        """Whether somebody may still want what it does."""
        return self.state in ("begun", "released")

    def write(self, run_dir: Path) -> None:
        """Replace the record of this attempt."""
        write_atomically(attempt_folder(run_dir, self.attempt) / RECORD, self.model_dump_json(indent=1))

    def now(self, run_dir: Path, **changes: object) -> "LaunchRecord":
        """The record with these changes, written."""
        changed = self.model_copy(update=changes)
        changed.write(run_dir)
        return changed


def attempt_folder(run_dir: Path, attempt: int) -> Path:
    """Where everything of one attempt lies."""
    return run_dir / FOLDER / str(attempt)


def read_record(run_dir: Path, attempt: int) -> LaunchRecord | None:
    """The record of an attempt, or None."""
    path = attempt_folder(run_dir, attempt) / RECORD
    return LaunchRecord.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def last_record(run_dir: Path) -> LaunchRecord | None:
    """The record of the newest attempt, or None."""
    attempts = [int(path.parent.name) for path in (run_dir / FOLDER).glob(f"*/{RECORD}")]
    return read_record(run_dir, max(attempts)) if attempts else None
