"""Checkpoints of the preference program: only one that was written to its end is ever used again."""

import logging
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from lifecycle.digests import digest_file
from lifecycle.files import fsync
from lifecycle.recipe.base import Section

logger = logging.getLogger(__name__)

COMPLETE = "complete.json"


class Seal(Section):
    """What `complete.json` says of its checkpoint."""

    fingerprint: str
    world_size: int
    files: dict[str, str]
    """SHA-256 of each file, by path in the checkpoint's directory."""


def seal(checkpoint: Path, fingerprint: str, world_size: int) -> None:
    """Record the files of a checkpoint, with their hashes, in `complete.json`, written last and flushed to disk."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    for path in paths:
        fsync(path)
    files = {path.relative_to(checkpoint).as_posix(): digest_file(path) for path in paths}
    record = Seal(fingerprint=fingerprint, world_size=world_size, files=files)
    temporary = checkpoint / f"{COMPLETE}.tmp"
    temporary.write_text(record.model_dump_json(), encoding="utf-8")
    fsync(temporary)
    os.replace(temporary, checkpoint / COMPLETE)
    fsync(checkpoint)


def latest(directory: Path, fingerprint: str, world_size: int) -> Path | None:
    """The newest usable checkpoint of this job in `directory`; those that are not usable are named and left out."""
    for checkpoint in sorted(directory.glob("checkpoint-*"), key=step_of, reverse=True):
        problem = _problem(checkpoint, fingerprint, world_size)
        if problem is None:
            return checkpoint
        logger.warning("%s: %s; it is not used", checkpoint, problem)
    return None


def remove_unusable(directory: Path, keep: Path | None) -> None:
    """Delete checkpoints after `keep`, so that a later one with the same name is never mixed with old files."""
    for checkpoint in directory.glob("checkpoint-*"):
        if keep is None or step_of(checkpoint) > step_of(keep):
            shutil.rmtree(checkpoint)


def step_of(checkpoint: Path) -> int:
    """How many steps were completed when this checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _problem(checkpoint: Path, fingerprint: str, world_size: int) -> str | None:
    try:
        record = Seal.model_validate_json((checkpoint / COMPLETE).read_bytes())
    except (OSError, ValidationError):
        return "it was not written to its end"
    if record.fingerprint != fingerprint:
        return f"it belongs to {record.fingerprint}"
    if record.world_size != world_size:
        return f"it was written by {record.world_size} processes and this run has {world_size}"
    for name, digest in record.files.items():
        path = checkpoint / name
        if not path.exists() or digest_file(path) != digest:
            return f"{name} is missing or damaged"
    return None
