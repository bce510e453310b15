"""Garbage collection: objects whose owners are gone, owners that wait for their dependents, namespaces that end."""

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.deletion import (
    FOREGROUND,
    ORPHAN,
    TRACKING,
    delete_object,
    delete_pod,
    drop_finalizer,
    going,
    owned_by,
    place,
)
from tests.kubernetes.fake.resources import NAMESPACES, PODS, RESOURCES, Resource
from tests.kubernetes.fake.store import Store

Held = tuple[Resource, Object]


class Collector:
    """Looks at everything whenever something has changed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen = -1

    def step(self) -> None:
        """One pass."""
        if self._seen == self.store.version:
            return
        self._seen = self.store.version
        everything = [(resource, item) for resource in RESOURCES for item in self.store.all(resource)]
        for resource, item in everything:
            finalizers = item["metadata"].get("finalizers", []) if going(item) else []
            dependents = [held for held in everything if owned_by(held[1], item["metadata"]["uid"])] if finalizers else []
            if ORPHAN in finalizers:
                self._orphan(resource, item, dependents)
            if FOREGROUND in finalizers:
                self._foreground(resource, item, dependents)
        self._abandoned(everything)
        for _, namespace in ((r, i) for r, i in everything if r is NAMESPACES):
            if going(namespace):
                self._end_namespace(namespace)

    def _orphan(self, resource: Resource, item: Object, dependents: list[Held]) -> None:
        uid = item["metadata"]["uid"]
        if any(TRACKING in held["metadata"].get("finalizers", []) for _, held in dependents):
            return

        def edit(stored: Object) -> None:
            left = [o for o in stored["metadata"]["ownerReferences"] if o["uid"] != uid]
            del stored["metadata"]["ownerReferences"]
            if left:
                stored["metadata"]["ownerReferences"] = left

        for kind, held in dependents:
            self.store.change(kind, *place(held), edit)
        drop_finalizer(self.store, resource, item, ORPHAN)

    def _foreground(self, resource: Resource, item: Object, dependents: list[Held]) -> None:
        for kind, held in dependents:
            self._delete(kind, held)
        if not dependents:
            drop_finalizer(self.store, resource, item, FOREGROUND)

    def _abandoned(self, everything: list[Held]) -> None:
        alive = {item["metadata"]["uid"] for _, item in everything}
        for resource, item in everything:
            owners = item["metadata"].get("ownerReferences", [])
            if owners and not alive & {owner["uid"] for owner in owners}:
                self._delete(resource, item)

    def _end_namespace(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        inside = [(r, item) for r in RESOURCES if r.namespaced for item in self.store.all(r, name)]
        for resource, item in inside:
            self._delete(resource, item)
        if not inside:
            self.store.remove(NAMESPACES, "", name)

    def _delete(self, resource: Resource, item: Object) -> None:
        found = self.store.find(resource, *place(item))
        if found is None or going(found):
            return
        if resource is PODS:
            delete_pod(self.store, found)
        else:
            delete_object(self.store, resource, found, "Background")
