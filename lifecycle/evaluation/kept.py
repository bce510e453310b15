"""Results of tasks, kept between evaluations by what decides them: model, task, data and settings."""

from collections.abc import Sequence
from pathlib import Path

from lifecycle.evaluation.shares import Share, TaskShare
from lifecycle.portions import Portion, interleaved
from lifecycle.results import kept, result

FOLDER = "evaluation"
FILE = "samples.json"


def kept_task(root: Path, key: str, portion: Portion) -> TaskShare | None:
    """This process's portion of a kept result; None where there is none."""
    entry = kept(root / FOLDER, key)
    if entry is None:
        return None
    whole = TaskShare.model_validate_json((entry / FILE).read_bytes())
    return whole.model_copy(update={"samples": tuple(portion.of(whole.samples)), "reused": True})


def keep_tasks(root: Path, shares: Sequence[Share]) -> None:
    """Keep what was measured of each task by all processes together."""
    for parts in zip(*(share.tasks for share in shares), strict=True):
        if all(part.reused for part in parts):
            continue
        whole = together(parts)
        result(root / FOLDER, whole.key, lambda folder, whole=whole: _write(folder, whole))


def together(parts: Sequence[TaskShare]) -> TaskShare:
    """One task's shares as one."""
    samples = tuple(interleaved([part.samples for part in parts]))
    return parts[0].model_copy(update={"samples": samples, "reused": all(part.reused for part in parts)})


def _write(folder: Path, whole: TaskShare) -> None:
    (folder / FILE).write_text(whole.model_dump_json(), encoding="utf-8")
