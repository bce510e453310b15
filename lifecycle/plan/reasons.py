"""Why an artifact cannot be reused: the difference between what made the last one and what would make the next."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.artifacts import Artifact, InputReference, Manifest
from lifecycle.stages import Stage

SHOWN_CHARACTERS = 60
_MISSING = object()


def own_differences(previous: Manifest, stage: Stage, identity: Any) -> list[str]:
    """Of the stage's code and of its part of the recipe."""
    reasons = []
    if previous.code_version != stage.code_version:
        reasons.append(f"code version {previous.code_version} → {stage.code_version}")
    return [*reasons, *differences(previous.identity, identity)]


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


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """The leaves in which two identities differ, as `path old → new`; lists of named things are compared by name."""
    return list(_differences(before, now, path))


def _differences(before: Any, now: Any, path: str) -> Iterator[str]:
    old, new = _children(before), _children(now)
    if old is None or new is None or (isinstance(before, list) and old.keys() != new.keys() and not _named(before, now)):
        if before != now:
            yield f"{path or 'value'} {_shown(before)} → {_shown(now)}"
        return
    for key in [*old, *(key for key in new if key not in old)]:
        name = key if key.startswith("[") else f".{key}"
        name = f"{path}{name}".removeprefix(".")
        one, other = old.get(key, _MISSING), new.get(key, _MISSING)
        if one is _MISSING or other is _MISSING:
            yield f"{name} {'is new' if one is _MISSING else 'is gone'}"
        else:
            yield from _differences(one, other, name)


def _children(value: Any) -> dict[str, Any] | None:
    """What a value is made of by name, or by place in square brackets; None for a leaf."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list):
        return {f"[{_name(item) or place}]": item for place, item in enumerate(value)}
    return None


def _named(*lists: list[Any]) -> bool:
    return all(_name(item) for items in lists for item in items)


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else None


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
