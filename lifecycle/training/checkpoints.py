"""Checkpoint directories: complete or absent, hashed, and never read when a hash differs.

`<run_dir>/checkpoints/step_N/` holds what the engine saved and `manifest.json` with every file's SHA-256. It is written
under a temporary name and renamed; the newest is found by listing.
"""

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifecycle.digests import digest_file
from lifecycle.errors import CorruptArtifactError
from lifecycle.files import fsync
from lifecycle.recipe.base import Section
from lifecycle.training.exits import ConfigurationError

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class CheckpointManifest(Section):
    """What a checkpoint says of itself."""

    step: int
    """Optimizer steps completed."""
    identity: dict[str, Any]
    """What a job must have in common with it to continue it."""
    tokens: int
    """Tokens seen so far, padding left out."""
    seconds: float
    """Time spent in training steps so far."""
    files: dict[str, str]
    """SHA-256 of each file, by path in the checkpoint's directory."""


class Checkpoints:
    """The checkpoints of one run directory. All methods belong to rank 0; the ranks only share the paths."""

    def __init__(self, run_dir: Path, keep: int) -> None:
        self._root = run_dir / "checkpoints"
        self._keep = keep

    def path(self, step: int) -> Path:
        """Where the checkpoint after `step` steps lies."""
        return self._root / f"step_{step}"

    def temporary(self, step: int) -> Path:
        """Where it is written before it is complete."""
        return self._root / f".writing-step_{step}"

    def prepare(self, step: int) -> None:
        """An empty directory for the engine to write into, rid of what killed runs left behind."""
        for left in self._root.glob(".writing-*"):
            shutil.rmtree(left)
        self.temporary(step).mkdir(parents=True)

    def commit(self, step: int, identity: dict[str, Any], tokens: int, seconds: float) -> None:
        """Hash and publish what the ranks wrote, then remove the oldest beyond the number to keep."""
        directory = self.temporary(step)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        for path in files:
            fsync(path)
        digests = {path.relative_to(directory).as_posix(): digest_file(path) for path in files}
        manifest = CheckpointManifest(step=step, identity=identity, tokens=tokens, seconds=seconds, files=digests)
        (directory / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        fsync(directory / MANIFEST)
        if self.path(step).exists():
            shutil.rmtree(self.path(step))
        os.rename(directory, self.path(step))
        fsync(self._root)
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self.path(old))

    def steps(self) -> list[int]:
        """The steps of all published checkpoints, rising."""
        matches = (re.fullmatch(r"step_(\d+)", path.name) for path in self._root.glob("step_*"))
        return sorted(int(match[1]) for match in matches if match)

    def newest(self, identity: dict[str, Any]) -> tuple[CheckpointManifest | None, list[str]]:
        """The newest whole checkpoint (None: start again), and what is to be said of damaged ones, which are set aside.

        Raises:
            ConfigurationError: the newest whole checkpoint belongs to another job; the message names the difference.
        """
        said: list[str] = []
        for step in reversed(self.steps()):
            try:
                manifest = read_manifest(self.path(step))
            except CorruptArtifactError as error:
                aside = self._root / f"damaged-step_{step}"
                if aside.exists():
                    shutil.rmtree(aside)
                os.rename(self.path(step), aside)
                said.append(f"{error}. The checkpoint was set aside as {aside.name} and is not used")
                continue
            _refuse_difference(self.path(step), manifest.identity, identity)
            return manifest, said
        return None, said


def read_manifest(directory: Path) -> CheckpointManifest:
    """A checkpoint's manifest, with every file hashed against it.

    Raises:
        CorruptArtifactError: the manifest or a file is missing, changed or too many; the message names it.
    """
    path = directory / MANIFEST
    try:
        manifest = CheckpointManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(f"{path}: the checkpoint's manifest is missing or damaged: {error}") from error
    present = {file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file()} - {MANIFEST}
    for name in sorted(present ^ set(manifest.files)):
        what = "is missing" if name in manifest.files else "is not in the manifest"
        raise CorruptArtifactError(f"{directory / name}: this checkpoint file {what}")
    for name, digest in manifest.files.items():
        if digest_file(directory / name) != digest:
            raise CorruptArtifactError(f"{directory / name}: the content does not match the manifest's SHA-256")
    return manifest


def _refuse_difference(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = json.loads(json.dumps(found))
    wanted = json.loads(json.dumps(wanted))
    differences = [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} in this job"
        for name in sorted(set(found) | set(wanted))
        if found.get(name) != wanted.get(name)
    ]
    if differences:
        raise ConfigurationError(
            f"{path}: this checkpoint cannot be continued: {'; '.join(differences)}. "
            "Use the setting it was made with, or remove the run's checkpoints directory to start again"
        )
