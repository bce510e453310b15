"""Objects with resource versions, and the history from which watches are served."""

import copy
import threading
import uuid
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from tests.kubernetes.fake.answers import Object, absent, conflict, exists, expired
from tests.kubernetes.fake.clock import Clock
from tests.kubernetes.fake.resources import Resource

Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One entry of the history."""

    version: int
    type: str
    plural: str
    after: Object
    before: Object | None


class Store:
    """Everything the cluster knows. Stored objects are never changed in place: writers replace them.

    `changed` is a condition over the store's lock; it is notified after every write.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        self.version = 1960
        self._objects: dict[str, dict[Key, Object]] = {}
        self._history: list[Change] = []
        self._forgotten = self.version

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Objects of a kind ordered by namespace and name; all namespaces where none is given."""
        with self.changed:
            items = sorted(self._objects.get(resource.plural, {}).items())
        return [item for (space, _), item in items if not namespace or space == namespace]

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._objects.get(resource.plural, {}).get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object.

        Raises:
            ApiError: 404.
        """
        found = self.find(resource, namespace, name)
        if found is None:
            raise absent(resource.qualified, resource.group, resource.plural, name)
        return found

    def create(self, resource: Resource, item: Object) -> Object:
        """Store a new object under its own uid, or a fresh one.

        Raises:
            ApiError: 409, the name is taken.
        """
        metadata = item["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            if key in self._objects.setdefault(resource.plural, {}):
                raise exists(resource.qualified, resource.group, resource.plural, key[1])
            self.version += 1
            stored = copy.deepcopy(item)
            stored["metadata"]["resourceVersion"] = str(self.version)
            self._objects[resource.plural][key] = stored
            self._record("ADDED", resource, stored, None)
        return stored

    def change(
        self, resource: Resource, namespace: str, name: str, edit: Callable[[Object], None], version: str = ""
    ) -> Object:
        """Apply `edit` to a copy and store it; an edit that changes nothing leaves the version as it was.

        Raises:
            ApiError: 404, or 409 where `version` is given and is not the stored one.
        """
        with self.changed:
            before = self.get(resource, namespace, name)
            if version and version != before["metadata"]["resourceVersion"]:
                why = "the object has been modified; please apply your changes to the latest version and try again"
                raise conflict(resource.qualified, resource.group, resource.plural, name, why)
            after = copy.deepcopy(before)
            edit(after)
            if after == before:
                return before
            self.version += 1
            after["metadata"]["resourceVersion"] = str(self.version)
            self._objects[resource.plural][(namespace, name)] = after
            self._record("MODIFIED", resource, after, before)
        return after

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        """Forget the object; returns its last state.

        Raises:
            ApiError: 404.
        """
        with self.changed:
            before = self.get(resource, namespace, name)
            self.version += 1
            last = copy.deepcopy(before)
            last["metadata"]["resourceVersion"] = str(self.version)
            del self._objects[resource.plural][(namespace, name)]
            self._record("DELETED", resource, last, before)
        return last

    def since(self, plural: str, version: int) -> list[Change]:
        """The changes of a kind after a version.

        Raises:
            ApiError: 410, the version lies before what is remembered.
        """
        with self.changed:
            if version < self._forgotten:
                raise expired(f"too old resource version: {version} ({self._forgotten})")
            start = bisect_right(self._history, version, key=lambda change: change.version)
            return [change for change in self._history[start:] if change.plural == plural]

    def forget(self) -> None:
        """Drop the history, as compaction does: watches and pages from earlier versions then get 410."""
        with self.changed:
            self._forgotten = self.version
            self._history.clear()

    def _record(self, kind: str, resource: Resource, after: Object, before: Object | None) -> None:
        self._history.append(Change(self.version, kind, resource.plural, after, before))
        self.changed.notify_all()


def new_metadata(clock: Clock, metadata: Object) -> Object:
    """Metadata of a new object: what the server sets, laid over what the client gave."""
    kept = {key: value for key, value in metadata.items() if key not in ("resourceVersion", "selfLink", "managedFields")}
    return kept | {"uid": str(uuid.uuid4()), "creationTimestamp": clock.stamp()}
