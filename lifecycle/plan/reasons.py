"""Why an artifact cannot be reused: the difference between what made the last one and what would make the next."""

from collections.abc import Mapping
from typing import Any

from lifecycle.artifacts import Artifact, InputReference, Manifest
from lifecycle.changes import changes
from lifecycle.stages import Stage


def own_differences(previous: Manifest, stage: Stage, identity: Any) -> list[str]:
    """Of the stage's code and of its part of the recipe."""
    reasons = []
    if previous.code_version != stage.code_version:
        reasons.append(f"code version {previous.code_version} → {stage.code_version}")
    return [*reasons, *changes(previous.identity, identity)]


def changed_inputs(previous: Manifest, inputs: Mapping[str, Artifact | Mapping[str, Artifact]]) -> list[str]:
    """Which of the inputs that are there already have other bytes than those that `previous` was made from."""
    flat: dict[str, Artifact] = {}
    for name, given in inputs.items():
        flat |= {name: given} if isinstance(given, Artifact) else {f"{name}/{each}": made for each, made in given.items()}
    before = {item.name: item.digest for item in previous.inputs}
    changed = [name for name, artifact in flat.items() if before.get(name) != artifact.digest]
    return [f"input {name} changed ({before.get(name, 'none')[:8]} → {flat[name].digest[:8]})" for name in changed]


def input_differences(before: tuple[InputReference, ...], now: tuple[InputReference, ...]) -> list[str]:
    """Which inputs are new, gone, or of other bytes."""
    old, new = ({item.name: item.digest for item in items} for items in (before, now))
    reasons = [f"input {name} is new" for name in new if name not in old]
    reasons += [f"input {name} is gone" for name in old if name not in new]
    changed = [name for name in new if name in old and old[name] != new[name]]
    return reasons + [f"input {name} changed ({old[name][:8]} → {new[name][:8]})" for name in changed]
