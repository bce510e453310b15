"""How objects go: finalizers, grace, owners."""

from tests.kubernetes.fake.answers import Object, conflict
from tests.kubernetes.fake.resources import PODS, Resource
from tests.kubernetes.fake.store import Store

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
TRACKING = "batch.kubernetes.io/job-tracking"


def place(item: Object) -> tuple[str, str]:
    """Namespace and name."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def going(item: Object) -> bool:
    """Whether deletion was asked for."""
    return bool(item["metadata"].get("deletionTimestamp"))


def ended(pod: Object) -> bool:
    """Whether a pod has reached its last phase."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def owned_by(item: Object, uid: str) -> bool:
    """Whether an owner reference names the uid."""
    return any(reference["uid"] == uid for reference in item["metadata"].get("ownerReferences", []))


def drop_finalizer(store: Store, resource: Resource, item: Object, finalizer: str) -> None:
    """Take one finalizer away; if deletion was asked for and nothing else holds the object, it goes with it."""
    current = store.find(resource, *place(item))
    if current is None:
        return
    left = [name for name in current["metadata"].get("finalizers", []) if name != finalizer]
    if going(current) and not left and not _in_grace(resource, current):
        store.remove(resource, *place(item))
        return

    def edit(stored: Object) -> None:
        stored["metadata"].pop("finalizers", None)
        if left:
            stored["metadata"]["finalizers"] = left

    store.change(resource, *place(item), edit)


def settle(store: Store, resource: Resource, item: Object) -> None:
    """Remove an object whose deletion was asked for, if nothing holds it any more."""
    if going(item) and not item["metadata"].get("finalizers") and not _in_grace(resource, item):
        store.remove(resource, *place(item))


def _in_grace(resource: Resource, item: Object) -> bool:
    return resource is PODS and item["metadata"].get("deletionGracePeriodSeconds", 0) > 0


def delete_pod(store: Store, pod: Object, grace: float | None = None) -> Object:
    """Ask for a pod's deletion, with its own grace where none is given; returns its state, or its last state.

    A pod that has ended or was never placed needs no kubelet and goes at once.
    """
    own = pod["spec"].get("terminationGracePeriodSeconds", 30)
    seconds = (own if own >= 0 else 1) if grace is None else grace
    if ended(pod) or not pod["spec"].get("nodeName"):
        seconds = 0

    def edit(stored: Object) -> None:
        metadata = stored["metadata"]
        if going(stored) and metadata["deletionGracePeriodSeconds"] <= seconds:
            return
        metadata["deletionTimestamp"] = store.clock.stamp(store.clock.now() + seconds)
        metadata["deletionGracePeriodSeconds"] = seconds

    changed = store.change(PODS, *place(pod), edit)
    settle(store, PODS, changed)
    return changed


def delete_object(store: Store, resource: Resource, item: Object, policy: str) -> Object | None:
    """Ask for the deletion of anything but a pod; returns what is left of it, or None if it is gone."""

    def edit(stored: Object) -> None:
        metadata = stored["metadata"]
        extra = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
        if extra and extra not in metadata.get("finalizers", []):
            metadata["finalizers"] = [*metadata.get("finalizers", []), extra]
        if not metadata.get("finalizers"):
            return
        if not going(stored):
            metadata["deletionTimestamp"] = store.clock.stamp()
            metadata["deletionGracePeriodSeconds"] = 0
            if "generation" in metadata:
                metadata["generation"] += 1

    changed = store.change(resource, *place(item), edit)
    if changed["metadata"].get("finalizers"):
        return changed
    store.remove(resource, *place(item))
    return None


def check_preconditions(resource: Resource, item: Object, wanted: Object) -> None:
    """Refuse a deletion that was meant for another object of that name.

    Raises:
        ApiError: 409.
    """
    metadata = item["metadata"]
    if "uid" in wanted and wanted["uid"] != metadata["uid"]:
        why = (
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(resource.qualified_kind, resource.group, resource.kind, metadata["name"], why)
    if "resourceVersion" in wanted and wanted["resourceVersion"] != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({wanted['resourceVersion']}) does not match the "
            f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise conflict(resource.qualified_kind, resource.group, resource.kind, metadata["name"], why)
