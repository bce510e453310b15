"""What an asset was when it was last made: what a plan compares with."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from lifecycle.artifacts import Artifact, Manifest, Store
from lifecycle.errors import CorruptArtifactError
from lifecycle.manifest import read_manifest
from lifecycle.references import SNAPSHOT
from lifecycle.stages import Stage


def previous_manifest(store: Store, recipe_name: str, stage: Stage, source: str | None) -> Manifest | None:
    """What this asset was last: by the recipe's own reference, else the newest artifact of the stage (and source)."""
    last = last_artifact(store, recipe_name, stage.name, source)
    manifest = _manifest(last.path) if last else None
    if manifest:
        return manifest
    candidates = [manifest for manifest in _manifests(store, stage.name) if _is_of(store, manifest, source)]
    return max(candidates, key=lambda manifest: manifest.created_at, default=None)


def last_artifact(store: Store, recipe_name: str, stage: str, source: str | None = None) -> Artifact | None:
    """The artifact that this asset (and source) was last, by the recipe's own reference; None where it is not there."""
    reference = store.reference_path(recipe_name, stage, source)
    with suppress(FileNotFoundError, ValidationError):
        last = Artifact.model_validate_json(reference.read_text(encoding="utf-8"))
        directory = store.directory(last.stage, last.fingerprint)
        if directory.is_dir():
            return last.model_copy(update={"uri": str(directory)})
    return None


def _manifests(store: Store, stage: str) -> Iterator[Manifest]:
    for directory in sorted((store.root / stage).glob("*")):
        manifest = _manifest(directory)
        if manifest:
            yield manifest


def _manifest(directory: Path) -> Manifest | None:
    """The manifest there, or None: a damaged artifact explains nothing, and `find` reports it."""
    try:
        return read_manifest(directory)
    except CorruptArtifactError:
        return None


def _is_of(store: Store, manifest: Manifest, source: str | None) -> bool:
    """Whether a per-source artifact belongs to `source`: its own identity says so, or that of its input."""
    if source is None:
        return True
    if isinstance(manifest.identity, Mapping) and "name" in manifest.identity:
        return manifest.identity["name"] == source
    inputs = [_manifest(store.directory(item.stage, item.fingerprint)) for item in manifest.inputs if item.stage != SNAPSHOT]
    return any(_is_of(store, item, source) for item in inputs if item)
