"""What an artifact was made from and what that took, read from the manifests of the artifacts that were really used."""

from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.artifacts import Artifact, Manifest, Store
from lifecycle.errors import CorruptArtifactError
from lifecycle.recipe.base import Section
from lifecycle.references import SNAPSHOT

HOUR = 3600.0
MEMMAPS = ("pretrain_memmap", "sft_memmap")


class StageFacts(Section):
    """One stage; one that is made per source is added up over its sources."""

    stage: str
    artifacts: int = 1
    digests: tuple[str, ...]
    made_at: str
    """When the last of them was made."""
    wall_seconds: float
    rows: int | None = None
    tokens: int | None = None
    """Written, or for a training passed through the model."""
    epochs: float | None = None
    steps: int | None = None
    parameters: int | None = None
    processes: int | None = None
    device: str | None = None
    """Of a training: `cpu` or `cuda`."""
    device_hours: float | None = None
    """Time of the training loop times its processes: GPU-hours, or on the CPU hours of a process."""


class SourceUsed(Section):
    """Raw bytes that went in, and what the recipe said of them."""

    name: str
    read_by: str
    digest: str
    licence: str | None


def stage_facts(store: Store, artifact: Artifact) -> list[StageFacts]:
    """Every stage that `artifact` was made from, in the order in which they were made, its own last.

    An artifact that is gone is left out: its manifest went with it.
    """
    by_stage: dict[str, list[Manifest]] = {}
    for manifest in _upstream_first(store, artifact.stage, artifact.fingerprint, set()):
        by_stage.setdefault(manifest.stage, []).append(manifest)
    tokens = {manifest.digest: manifest.facts.get("tokens") for found in by_stage.values() for manifest in found}
    return [_facts(found, tokens) for found in by_stage.values()]


def sources_used(store: Store, artifact: Artifact) -> list[SourceUsed]:
    """Every raw source behind `artifact`, with its licence as the recipe states it."""
    found = []
    for manifest in _upstream_first(store, artifact.stage, artifact.fingerprint, set()):
        for item in manifest.inputs:
            if item.stage == SNAPSHOT:
                _, _, own = item.name.partition("/")
                stated = _stated(manifest.identity, own or None)
                name = own or (stated or {}).get("name") or manifest.stage
                licence = (stated or {}).get("licence")
                found.append(SourceUsed(name=name, read_by=manifest.stage, digest=item.digest, licence=licence))
    return found


def _stated(identity: Any, name: str | None) -> dict[str, Any] | None:
    """The section of a recipe that has a licence, and this name where one is given."""
    if isinstance(identity, dict):
        if "licence" in identity and name in (None, identity.get("name")):
            return identity
        identity = list(identity.values())
    children = identity if isinstance(identity, list) else []
    return next((found for child in children if (found := _stated(child, name))), None)


def _upstream_first(store: Store, stage: str, fingerprint: str, seen: set[str]) -> Iterator[Manifest]:
    if stage == SNAPSHOT or fingerprint in seen:
        return
    seen.add(fingerprint)
    artifact = Artifact(stage=stage, fingerprint=fingerprint, digest="", uri=str(store.directory(stage, fingerprint)))
    try:
        manifest = artifact.manifest()
    except CorruptArtifactError:
        return
    for item in manifest.inputs:
        yield from _upstream_first(store, item.stage, item.fingerprint, seen)
    yield manifest


def _facts(found: list[Manifest], tokens: Mapping[str, Any]) -> StageFacts:
    facts = [manifest.facts for manifest in found]
    first = facts[0]
    seconds, processes = first.get("seconds_training"), first.get("processes")
    return StageFacts(
        stage=found[0].stage,
        artifacts=len(found),
        digests=tuple(manifest.digest for manifest in found),
        made_at=max(manifest.created_at for manifest in found),
        wall_seconds=sum(manifest.seconds for manifest in found),
        rows=_sum(facts, "rows"),
        tokens=_sum(facts, "tokens"),
        epochs=_epochs(found[0], tokens),
        steps=first.get("steps"),
        parameters=first.get("parameters"),
        processes=processes,
        device=first.get("device"),
        device_hours=seconds * processes / HOUR if seconds is not None and processes is not None else None,
    )


def _sum(facts: list[dict[str, Any]], name: str) -> int | None:
    values = [each[name] for each in facts if isinstance(each.get(name), int)]
    return sum(values) if values else None


def _epochs(manifest: Manifest, tokens: Mapping[str, Any]) -> float | None:
    """Passes over the data: as configured, else tokens trained over those of the memmap, where there is only one."""
    configured = manifest.identity.get("epochs") if isinstance(manifest.identity, dict) else None
    if configured is not None:
        return float(configured)
    memmaps = [item for item in manifest.inputs if item.stage.startswith(MEMMAPS)]  # of any round
    there = tokens.get(memmaps[0].digest) if len(memmaps) == 1 else None
    trained = manifest.facts.get("tokens") if "steps" in manifest.facts else None
    return trained / there if there and trained else None
