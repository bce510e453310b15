"""Artifacts: immutable directories, published whole or not at all, checked before they are used again."""

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lifecycle.digests import digest_file, digest_json
from lifecycle.disk import telling_when_full
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.files import fsync, write_atomically
from lifecycle.locks import StoreLock
from lifecycle.manifest import MANIFEST, FileEntry, InputReference, Manifest, content_digest, read_manifest, scan
from lifecycle.recipe.base import Section

logger = logging.getLogger(__name__)

__all__ = [
    "MANIFEST",
    "Artifact",
    "FileEntry",
    "InputReference",
    "Manifest",
    "Published",
    "Store",
    "Workspace",
    "fingerprint_of",
]


class Artifact(Section):
    """A reference to a published artifact: small enough to pass between steps, never the data itself."""

    stage: str
    fingerprint: str
    digest: str
    uri: str

    @property
    def path(self) -> Path:
        """The artifact's directory."""
        return Path(self.uri)

    def manifest(self) -> Manifest:
        """The artifact's manifest; raises CorruptArtifactError when it is damaged or missing."""
        return read_manifest(self.path)


@dataclass(frozen=True)
class Workspace:
    """Where a stage works: `out` becomes the artifact, `run_dir` keeps what is not content and survives a kill."""

    out: Path
    run_dir: Path


@dataclass(frozen=True)
class Published:
    """The outcome of `Store.materialize`."""

    artifact: Artifact
    manifest: Manifest
    reused: bool
    run_dir: Path


def fingerprint_of(stage: str, code_version: str, identity: Any, inputs: Mapping[str, str]) -> str:
    """Where an artifact lives: the hash of stage, code version, identity and the digests of its inputs."""
    return digest_json({"stage": stage, "code": code_version, "identity": identity, "inputs": dict(inputs)})[:32]


class Store:
    """A directory of artifacts `<root>/<stage>/<fingerprint>/`, with `.runs/` for what is not content."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    def directory(self, stage: str, fingerprint: str) -> Path:
        """Where the artifact of this stage and fingerprint lives, whether or not it exists."""
        return self.root / stage / fingerprint

    def run_directory(self, fingerprint: str) -> Path:
        """Logs, plots, checkpoints and metrics of the run that makes this fingerprint."""
        return self.root / ".runs" / fingerprint

    def reference_path(self, recipe: str, stage: str, source: str | None = None) -> Path:
        """The file that says which artifact this asset (of one source) of a recipe was last."""
        return self.root / ".refs" / recipe / stage / f"{source or 'artifact'}.json"

    @property
    def results(self) -> Path:
        """What stages keep of pieces of their input between runs (`lifecycle.results`); safe to delete at any time."""
        return self.root / ".cache"

    def input_artifact(self, artifact: Artifact, name: str) -> Artifact:
        """What `artifact` was made from under `name`; raises LifecycleError when it had no such input."""
        for reference in artifact.manifest().inputs:
            if reference.name == name:
                uri = str(self.directory(reference.stage, reference.fingerprint))
                return Artifact(**reference.model_dump(exclude={"name"}), uri=uri)
        raise LifecycleError(f"{artifact.stage}/{artifact.fingerprint} was not made from any {name}")

    def find(self, stage: str, fingerprint: str) -> Published | None:
        """The published artifact, checked, or None when it was never published.

        Raises:
            CorruptArtifactError: it exists, and a file of it is missing, changed, or not in the manifest.
        """
        directory = self.directory(stage, fingerprint)
        if not directory.exists():
            return None
        manifest = read_manifest(directory)
        if (manifest.stage, manifest.fingerprint) != (stage, fingerprint):
            raise CorruptArtifactError(f"{directory / MANIFEST}: names {manifest.stage}/{manifest.fingerprint} instead")
        self._verify(directory, manifest)
        artifact = Artifact(stage=stage, fingerprint=fingerprint, digest=manifest.digest, uri=str(directory))
        return Published(artifact, manifest, reused=True, run_dir=self.run_directory(fingerprint))

    def materialize(
        self,
        stage: str,
        code_version: str,
        identity: Any,
        inputs: tuple[InputReference, ...],
        build: Callable[[Workspace], dict[str, Any]],
    ) -> Published:
        """Return the artifact of this fingerprint, making it with `build` when it does not exist.

        A damaged artifact is set aside under `.quarantine/` and made again. Of two callers with the same
        fingerprint, one builds and the other waits and takes the result.
        """
        digests = {item.name: item.digest for item in inputs}
        if len(digests) != len(inputs):
            raise LifecycleError(f"{stage}: two inputs share a name: {sorted(item.name for item in inputs)}")
        fingerprint = fingerprint_of(stage, code_version, identity, digests)
        with suppress(CorruptArtifactError):  # judged again under the lock, where only one caller sets it aside
            existing = self.find(stage, fingerprint)
            if existing:
                return existing
        with StoreLock(self.root / ".locks" / f"{fingerprint}.lock") as lock:
            existing = self._find_or_quarantine(stage, fingerprint)
            if existing:
                return existing
            started = time.monotonic()
            with self._workspace(stage, fingerprint) as workspace, telling_when_full(stage, workspace.out):
                facts = build(workspace)
                files = scan(workspace.out, self._digests_of_links(stage, workspace.out))
                if not files:
                    raise LifecycleError(f"{stage}: the stage wrote no file")
                lock.ensure_held()
                manifest = Manifest(
                    stage=stage,
                    fingerprint=fingerprint,
                    digest=content_digest(files),
                    code_version=code_version,
                    identity=identity,
                    inputs=inputs,
                    files=files,
                    facts=facts,
                    created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    seconds=round(time.monotonic() - started, 3),
                ).sealed()
                self._publish(workspace.out, manifest)
        found = self.find(stage, fingerprint)
        assert found is not None
        return Published(found.artifact, found.manifest, reused=False, run_dir=found.run_dir)

    def _find_or_quarantine(self, stage: str, fingerprint: str) -> Published | None:
        try:
            return self.find(stage, fingerprint)
        except CorruptArtifactError as error:
            aside = self.root / ".quarantine" / f"{stage}-{fingerprint}-{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.directory(stage, fingerprint), aside)
            logger.warning("%s. It was moved to %s and is made again.", error, aside)
            return None

    @contextmanager
    def _workspace(self, stage: str, fingerprint: str) -> Iterator[Workspace]:
        """An empty directory that no other attempt writes to, not even one that lost its lock and does not know it."""
        temporary = self.root / ".tmp"
        for left in temporary.glob(f"{stage}-{fingerprint}-*"):
            shutil.rmtree(left, ignore_errors=True)
        out = temporary / f"{stage}-{fingerprint}-{uuid.uuid4().hex[:8]}"
        out.mkdir(parents=True)
        run_dir = self.run_directory(fingerprint)
        run_dir.mkdir(parents=True, exist_ok=True)
        try:
            yield Workspace(out, run_dir)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _publish(self, out: Path, manifest: Manifest) -> None:
        target = self.directory(manifest.stage, manifest.fingerprint)
        target.parent.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        for path in out.rglob("*"):
            fsync(path)
        fsync(out)
        os.rename(out, target)
        fsync(target.parent)
        self._remember(target, manifest)

    def _digests_of_links(self, stage: str, out: Path) -> Callable[[Path], str | None]:
        """What tells the SHA-256 of files of `out` that are also files of verified artifacts of the stage, by hard links.

        They are the same bytes, known by what `_verify` goes by: size, time and inode as they were when they were hashed.
        """
        unknown = {tuple(_stat(path)) for path in out.rglob("*") if path.is_file() and path.stat().st_nlink > 1}
        found: dict[tuple[int, ...], str] = {}
        for directory in (self.root / stage).glob("*") if unknown else ():
            stats = {name: tuple(stat) for name, stat in _read_stats(self._stats_path(directory.name)).items()}
            if unknown.isdisjoint(stats.values()):
                continue
            with suppress(CorruptArtifactError):
                listed = read_manifest(directory).files
                found |= {stats[entry.path]: entry.sha256 for entry in listed if stats.get(entry.path) in unknown}
                unknown -= found.keys()
        return lambda path: found.get(tuple(_stat(path)))

    def _verify(self, directory: Path, manifest: Manifest) -> None:
        """Check names and sizes always; hash a file only when its size, time or inode moved since it was last hashed."""
        known = _read_stats(self._stats_path(manifest.fingerprint))
        listed = {entry.path: entry for entry in manifest.files}
        present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()} - {MANIFEST}
        for name in sorted(present ^ set(listed)):
            what = "is missing" if name in listed else "is not in the manifest"
            raise CorruptArtifactError(f"{directory / name}: this file {what}")
        rehashed = False
        for name, entry in listed.items():
            path = directory / name
            if known.get(name) == _stat(path):
                continue
            if digest_file(path) != entry.sha256:
                raise CorruptArtifactError(f"{path}: the content does not match the manifest's SHA-256 (damaged or changed)")
            rehashed = True
        if rehashed:
            self._remember(directory, manifest)

    def _remember(self, directory: Path, manifest: Manifest) -> None:
        stats = {entry.path: _stat(directory / entry.path) for entry in manifest.files}
        write_atomically(self._stats_path(manifest.fingerprint), json.dumps(stats))

    def _stats_path(self, fingerprint: str) -> Path:
        return self.root / ".verified" / f"{fingerprint}.json"


def _stat(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _read_stats(path: Path) -> dict[str, list[int]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
