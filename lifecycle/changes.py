"""What differs between two pieces of configuration, in words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

SHOWN_CHARACTERS = 60
_MISSING = object()


def changes(before: Any, now: Any, path: str = "") -> list[str]:
    """The leaves in which two identities differ, as `path old → new`; lists of named things are compared by name."""
    return list(_changes(before, now, path))


def _changes(before: Any, now: Any, path: str) -> Iterator[str]:
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
            yield from _changes(one, other, name)


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
