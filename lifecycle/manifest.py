"""The manifest of an artifact: what it is, from what it was made, and the hash of every file."""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError

from lifecycle.digests import digest_file, digest_json
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.recipe.base import Section

MANIFEST = "manifest.json"


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{path!r} leads out of the artifact")
    return path


class FileEntry(Section):
    """One file of an artifact; `path` is relative to its directory, with forward slashes."""

    path: Annotated[str, AfterValidator(_inside)]
    size: int
    sha256: str


class InputReference(Section):
    """What a stage was given: another artifact, or (stage `snapshot`) the bytes of a raw source."""

    name: str
    stage: str
    fingerprint: str
    digest: str


class Manifest(Section):
    """What an artifact is, from what it was made, and the hash of every file; written last."""

    schema_version: int = 1
    stage: str
    fingerprint: str
    digest: str
    code_version: str
    identity: Any
    inputs: tuple[InputReference, ...]
    files: tuple[FileEntry, ...]
    facts: dict[str, Any]
    """Figures for people (rows, tokens, scores); not part of the digest."""
    created_at: str
    seconds: float
    checksum: str = ""
    """SHA-256 of all the other fields, so that a damaged manifest is as visible as a damaged file."""

    def sealed(self) -> "Manifest":
        """This manifest with its checksum filled in."""
        return self.model_copy(update={"checksum": self._checksum()})

    def is_intact(self) -> bool:
        """Whether no field was changed since `sealed`."""
        return self.checksum == self._checksum()

    def _checksum(self) -> str:
        return digest_json(json.loads(self.model_dump_json(exclude={"checksum"})))


def read_manifest(directory: Path) -> Manifest:
    """The manifest in `directory`; raises CorruptArtifactError naming the file when it is damaged."""
    path = directory / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(f"{path}: the manifest is missing or damaged: {error}") from error
    if not manifest.is_intact() or manifest.digest != content_digest(manifest.files):
        raise CorruptArtifactError(f"{path}: the manifest does not fit its own checksum; it was damaged or changed by hand")
    return manifest


def content_digest(files: tuple[FileEntry, ...]) -> str:
    """The digest of an artifact: names, sizes and hashes of its files, nothing else."""
    return digest_json([[entry.path, entry.size, entry.sha256] for entry in files])[:32]


def scan(out: Path, known: Callable[[Path], str | None] = lambda path: None) -> tuple[FileEntry, ...]:
    """Every file of `out` with its hash. Raises LifecycleError for what an artifact cannot hold.

    Args:
        known: the hash of a file where it need not be read for that.
    """
    for path in out.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise LifecycleError(f"{path}: an artifact holds plain files only; a link's target would not be kept")
    if (out / MANIFEST).exists():
        raise LifecycleError(f"{out / MANIFEST}: this name is the store's own; the stage must call its file something else")
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    return tuple(
        FileEntry(path=path.relative_to(out).as_posix(), size=path.stat().st_size, sha256=known(path) or digest_file(path))
        for path in paths
    )
