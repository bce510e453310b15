"""What has to be made anew because its raw bytes, its inputs or its part of the recipe are others than when it was made.

`lifecycle plan` foresees a whole run; this looks at one asset beside what the assets before it are now, which is cheap
enough to be asked every minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.artifacts import Artifact, Store, fingerprint_of
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError
from lifecycle.plan.reasons import input_differences, own_differences
from lifecycle.plan.walk import raw_bytes
from lifecycle.previous import last_artifact, previous_manifest
from lifecycle.recipe.recipe import Recipe
from lifecycle.references import input_references
from lifecycle.stages import Stage, memmap_stages, stages_of

FIRST_REASONS = 3


@dataclass(frozen=True)
class Due:
    """An asset that is not what it would be if it were made now.

    Attributes:
        fingerprint: of the artifact that it would be.
    """

    stage: str
    fingerprint: str
    why: str


def source_due(recipe: Recipe, store: Store, source: str) -> Due | None:
    """Whether this source has to be read or cleaned again; of its files only those are hashed that changed since last time.

    A quality model counts as it was last trained.

    Raises:
        DataError: its files cannot be found or read, or the quality model was never made.
    """
    for stage in stages_of(recipe):
        if stage.per_source:
            due = _due(recipe, store, stage, source)
            if due:
                return due
    return None


def memmaps_due(recipe: Recipe, store: Store) -> Due | None:
    """The first stage from the cleaned sources to the memmaps that has to be made again.

    Raises:
        DataError: a source was never cleaned, or a file that the corpus reads (`decontaminate`) is not there.
    """
    for stage in memmap_stages(recipe):
        due = _due(recipe, store, stage, None)
        if due:
            return due
    return None


def _due(recipe: Recipe, store: Store, stage: Stage, source: str | None) -> Due | None:
    inputs = _inputs(recipe, store, stage, source)
    raw = {
        name: snapshot(item, store.results / stage.name).digest for name, item in raw_bytes(recipe, stage, source).items()
    }
    references = input_references(stage, inputs, raw)
    identity = stage.identity(recipe, source)
    digests = {item.name: item.digest for item in references}
    fingerprint = fingerprint_of(stage.name, stage.code_version, identity, digests)
    last = last_artifact(store, recipe.name, stage.name, source)
    if last and last.fingerprint == fingerprint:
        return None
    previous = previous_manifest(store, recipe.name, stage, source) if last else None
    if previous is None:
        return Due(stage.name, fingerprint, "never made before")
    reasons = [*own_differences(previous, stage, identity), *input_differences(previous.inputs, references)]
    more = f" and {len(reasons) - FIRST_REASONS} more" if len(reasons) > FIRST_REASONS else ""
    return Due(stage.name, fingerprint, "; ".join(reasons[:FIRST_REASONS]) + more)


def _inputs(recipe: Recipe, store: Store, stage: Stage, source: str | None) -> Mapping[str, Artifact | dict[str, Artifact]]:
    """What the assets before it were last."""
    per_source = {each.name for each in stages_of(recipe) if each.per_source}
    found: dict[str, Artifact | dict[str, Artifact]] = {}
    for name in stage.inputs:
        if name not in per_source:
            found[name] = _made(store, recipe, name, None)
        elif stage.per_source:
            found[name] = _made(store, recipe, name, source)
        else:
            found[name] = {each.name: _made(store, recipe, name, each.name) for each in recipe.sources}
    return found


def _made(store: Store, recipe: Recipe, name: str, source: str | None) -> Artifact:
    found = last_artifact(store, recipe.name, name, source)
    if found is None:
        raise DataError(f"{name}{f' of source {source}' if source else ''} was never made, or is gone: materialize it first")
    return found
