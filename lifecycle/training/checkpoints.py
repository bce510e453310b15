"""Checkpoint directories: complete or absent, hashed, and never read when a hash differs.

`<run_dir>/checkpoints/` holds `step_N` (the last K), `best_N` (the best by validation) and, at the end, `final` (the one
that was exported). Each holds what the engine saved and `manifest.json` with every file's SHA-256. It is written under a
temporary name and renamed; what is the same step under two names shares its files by hard links.
"""

import json
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
from lifecycle.training.coba import CobaState
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.ownership import check_owner

MANIFEST = "manifest.json"
FINAL = "final"


class Layout(Section):
    """How the engine spread the state over its files. Loading into another layout needs a conversion."""

    processes: int
    zero_stage: int


class Progress(Section):
    """How far a run is, and what later decisions need to know of the steps before."""

    step: int = 0
    """Optimizer steps completed."""
    tokens: int = 0
    """Tokens seen so far, padding left out."""
    seconds: float = 0.0
    """Time spent in training steps so far."""
    best_step: int | None = None
    """The step of the lowest validation bits per byte."""
    best_bits_per_byte: float | None = None
    stalled: int = 0
    """Validations since then."""
    losses: tuple[float, ...] = ()
    """Those of the last steps, newest last: what a spike is measured against."""
    gradient_norms: tuple[float, ...] = ()
    coba: CobaState | None = None
    """The measurements and weights of tasks, where CoBa decides them."""


class CheckpointManifest(Section):
    """What a checkpoint says of itself."""

    progress: Progress
    identity: dict[str, Any]
    """What a job must have in common with it to continue it."""
    layout: Layout
    files: dict[str, str]
    """SHA-256 of each file, by path in the checkpoint's directory."""


class Checkpoints:
    """The checkpoints of one run directory. All methods belong to rank 0; the ranks only share the paths."""

    def __init__(self, run_dir: Path, keep: int, writer: str = "") -> None:
        """`writer`: the token of the launcher whose ranks write (`ownership`), the same on all of them."""
        self.root = run_dir / "checkpoints"
        self._keep = keep
        self._writer = f"-{writer}" if writer else ""

    def path(self, name: str) -> Path:
        """Where the checkpoint `step_N`, `best_N` or `final` lies."""
        return self.root / name

    def temporary(self, step: int) -> Path:
        """Where the checkpoint after `step` steps is written before it is complete."""
        return self.root / f".writing-step_{step}{self._writer}"

    def prepare(self, step: int) -> None:
        """An empty directory for the engine to write into, rid of what killed runs left behind.

        Raises:
            Preempted: another launcher has taken the run over.
        """
        check_owner()
        for pattern in (".writing-*", ".linking-*", ".replaced-*"):
            for left in self.root.glob(pattern):
                shutil.rmtree(left)
        self.temporary(step).mkdir(parents=True)

    def commit(
        self, progress: Progress, identity: dict[str, Any], layout: Layout, names: tuple[str, ...] | None = None
    ) -> None:
        """Hash what the ranks wrote and publish it under `names` (`step_N` unless told), then remove what is too old.

        The new one is published before any is removed, so that there always is a whole one.

        Raises:
            Preempted: another launcher has taken the run over meanwhile; nothing is published.
        """
        directory = self.temporary(progress.step)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        for path in files:
            fsync(path)
        digests = {path.relative_to(directory).as_posix(): digest_file(path) for path in files}
        manifest = CheckpointManifest(progress=progress, identity=identity, layout=layout, files=digests)
        (directory / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        fsync(directory / MANIFEST)
        first, *others = names or (f"step_{progress.step}",)
        self._publish(directory, first)
        for name in others:
            self.link(first, name)
        for prefix, keep in (("step", self._keep), ("best", 1)):
            for old in self.steps(prefix)[:-keep]:
                shutil.rmtree(self.path(f"{prefix}_{old}"))

    def link(self, source: str, name: str) -> None:
        """Publish the checkpoint `source` as `name` too, sharing its files where the file system can."""
        directory = self.root / f".linking-{name}{self._writer}"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.path(source), directory, copy_function=_link)
        self._publish(directory, name)

    def steps(self, prefix: str = "step") -> list[int]:
        """The steps of all published checkpoints `<prefix>_N`, rising."""
        matches = (re.fullmatch(rf"{prefix}_(\d+)", path.name) for path in self.root.glob(f"{prefix}_*"))
        return sorted(int(match[1]) for match in matches if match)

    def newest(self, identity: dict[str, Any]) -> tuple[str | None, CheckpointManifest | None, list[str]]:
        """Name and manifest of the newest whole checkpoint (None: start again), and what is to be said of damaged ones,
        which are set aside. Where only `best_N` is left of step N, it is published as `step_N` too: the end of the run
        looks for that name.

        Raises:
            ConfigurationError: the newest whole checkpoint belongs to another job; the message names the difference.
        """
        said: list[str] = []
        found = [(step, prefix == "step", f"{prefix}_{step}") for prefix in ("step", "best") for step in self.steps(prefix)]
        for step, is_step, name in sorted(found, reverse=True):
            try:
                manifest = read_manifest(self.path(name))
            except CorruptArtifactError as error:
                aside = self.root / f"damaged-{name}"
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(self.path(name), aside)
                said.append(f"{error}. The checkpoint was set aside as {aside.name} and is not used")
                continue
            _refuse_difference(self.path(name), manifest.identity, identity)
            if not is_step:
                self.link(name, f"step_{step}")
            return f"step_{step}", manifest, said
        return None, None, said

    def _publish(self, directory: Path, name: str) -> None:
        check_owner()
        path, replaced = self.path(name), self.root / f".replaced-{name}{self._writer}"
        if path.exists():
            os.rename(path, replaced)
        os.rename(directory, path)
        fsync(self.root)
        shutil.rmtree(replaced, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


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
