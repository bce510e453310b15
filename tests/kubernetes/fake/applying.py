"""Server-side apply, as far as conflicts between managers that apply."""

from collections.abc import Iterator
from typing import Any

from tests.kubernetes.fake.answers import ApiError, Object
from tests.kubernetes.fake.patching import MERGE_KEYS

Leaves = dict[str, Any]


class Managers:
    """Which manager has applied which fields of which object, by uid."""

    def __init__(self) -> None:
        self._applied: dict[str, dict[str, Leaves]] = {}

    def check(self, uid: str, manager: str, config: Object, current: Object) -> None:
        """Refuse to change what another manager applied.

        Raises:
            ApiError: 409, with one cause for each field.
        """
        here = dict(_leaves(current, ""))
        clashes = [
            (other, path)
            for path, value in _leaves(_fields(config), "")
            if here.get(path) != value
            for other, owned in self._applied.get(uid, {}).items()
            if other != manager and path in owned
        ]
        if not clashes:
            return
        causes = [
            {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": path}
            for other, path in clashes
        ]
        told = "\n".join(f'conflict with "{other}": {path}' for other, path in clashes)
        plural = "conflict" if len(clashes) == 1 else "conflicts"
        raise ApiError(409, "Conflict", f"Apply failed with {len(clashes)} {plural}: {told}", {"causes": causes})

    def remember(self, uid: str, manager: str, config: Object) -> None:
        """The manager owns the fields of `config` from now on, and nobody else those that it set."""
        mine = dict(_leaves(_fields(config), ""))
        managers = self._applied.setdefault(uid, {})
        for owned in managers.values():
            for path in [path for path in owned if path in mine and owned[path] != mine[path]]:
                del owned[path]
        managers[manager] = mine


def _fields(config: Object) -> Object:
    """What is owned: everything but what identifies the object."""
    metadata = {key: value for key, value in config.get("metadata", {}).items() if key in ("labels", "annotations")}
    return {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata")} | {
        "metadata": metadata
    }


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}")
        return
    key = MERGE_KEYS.get(path.rpartition(".")[2])
    if isinstance(value, list) and key and all(isinstance(entry, dict) and key in entry for entry in value):
        for entry in value:
            yield from _leaves(entry, f'{path}[{key}="{entry[key]}"]')
        return
    yield path, value
