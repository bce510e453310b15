"""What a stage was given, as its fingerprint, its manifest and lineage name it."""

from collections.abc import Mapping

from lifecycle.artifacts import Artifact, InputReference
from lifecycle.errors import LifecycleError
from lifecycle.stages import Stage

SNAPSHOT = "snapshot"
"""Stands for the stage of raw bytes."""


def input_references(
    stage: Stage, inputs: Mapping[str, Artifact | Mapping[str, Artifact]], snapshots: Mapping[str, str] | None = None
) -> tuple[InputReference, ...]:
    """What `stage` was given, under the names that decide its fingerprint and that lineage shows.

    One artifact keeps the upstream's name; an upstream made per source and read whole gives `<upstream>/<source>` each;
    raw bytes are `snapshot` (the stage's one source) or `snapshot/<name>`.

    Args:
        inputs: artifacts by upstream stage name, or by source where all sources of a per-source stage are read.
        snapshots: digests of raw bytes that the stage reads itself, by name.

    Raises:
        LifecycleError: the inputs are not those that the stage table names.
    """
    if set(inputs) != set(stage.inputs):
        raise LifecycleError(f"{stage.name}: made from {sorted(stage.inputs)}, but was given {sorted(inputs)}")
    references: list[InputReference] = []
    for name in stage.inputs:
        given = inputs[name]
        if isinstance(given, Artifact):
            references.append(_reference(name, given))
        else:
            references += [_reference(f"{name}/{source}", given[source]) for source in sorted(given)]
    for name, digest in sorted((snapshots or {}).items()):
        label = name if name.split("/")[0] == SNAPSHOT else f"{SNAPSHOT}/{name}"
        references.append(InputReference(name=label, stage=SNAPSHOT, fingerprint=digest, digest=digest))
    return tuple(references)


def _reference(name: str, artifact: Artifact) -> InputReference:
    return InputReference(name=name, stage=artifact.stage, fingerprint=artifact.fingerprint, digest=artifact.digest)
