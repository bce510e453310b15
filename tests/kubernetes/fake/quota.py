"""What admission refuses because of other objects: service accounts, priority classes, quotas."""

from collections.abc import Iterator
from decimal import Decimal

from tests.kubernetes.fake.answers import ApiError, Object
from tests.kubernetes.fake.deletion import ended, place
from tests.kubernetes.fake.quantities import quantity, write_quantity
from tests.kubernetes.fake.resources import JOBS, PODS, PRIORITY_CLASSES, QUOTAS, RESOURCES, SERVICE_ACCOUNTS, Resource
from tests.kubernetes.fake.scheduler import amounts
from tests.kubernetes.fake.store import Store, new_metadata

BUILT_IN_CLASSES = {"system-cluster-critical", "system-node-critical"}


def add_default_account(store: Store, namespace: str) -> None:
    """Every namespace has a service account `default`."""
    metadata = new_metadata(store.clock, {"name": "default", "namespace": namespace})
    store.create(SERVICE_ACCOUNTS, {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata})


def check_new(store: Store, resource: Resource, item: Object) -> None:
    """Refuse a new object for what it refers to or for what is left of a quota.

    Raises:
        ApiError: 403, with the server's words.
    """
    reasons = [*(_references(store, item) if resource is PODS else []), *_exceeded(store, resource, item)]
    if reasons:
        shown = item["metadata"].get("generateName") or item["metadata"]["name"]
        details = {"name": shown} | ({"group": resource.group} if resource.group else {}) | {"kind": resource.plural}
        raise ApiError(403, "Forbidden", f'{resource.qualified} "{shown}" is forbidden: {reasons[0]}', details)


def _references(store: Store, pod: Object) -> Iterator[str]:
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    account, rank = spec.get("serviceAccountName", "default"), spec.get("priorityClassName")
    if store.find(SERVICE_ACCOUNTS, namespace, account) is None:
        yield f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
    if rank and rank not in BUILT_IN_CLASSES and store.find(PRIORITY_CLASSES, "", rank) is None:
        yield f"no PriorityClass with name {rank} was found"


def _exceeded(store: Store, resource: Resource, item: Object) -> Iterator[str]:
    wanted = _cost(resource, item)
    for limit in store.all(QUOTAS, item["metadata"].get("namespace", "")):
        hard, used = limit["spec"].get("hard", {}), _used(store, limit)
        over = [name for name, value in wanted.items() if name in hard and used[name] + value > quantity(hard[name])]
        if over:
            parts = [
                ",".join(f"{name}={write_quantity(values[name])}" for name in sorted(over))
                for values in (wanted, used, {name: quantity(value) for name, value in hard.items()})
            ]
            name = limit["metadata"]["name"]
            yield f"exceeded quota: {name}, requested: {parts[0]}, used: {parts[1]}, limited: {parts[2]}"


def _cost(resource: Resource, item: Object) -> dict[str, Decimal]:
    """What an object takes of a quota, by the names that quotas use."""
    cost = {f"count/{resource.qualified}": Decimal(1)}
    if resource is not PODS:
        return cost | {resource.plural: Decimal(1)}
    if ended(item):
        return cost
    cost["pods"] = Decimal(1)
    for name, value in amounts(item, "requests").items():
        cost |= {f"requests.{name}": value} | ({name: value} if "/" not in name else {})
    return cost | {f"limits.{name}": value for name, value in amounts(item, "limits").items()}


def _used(store: Store, limit: Object) -> dict[str, Decimal]:
    used = {name: Decimal(0) for name in limit["spec"].get("hard", {})}
    counted = [JOBS, PODS, *(r for r in RESOURCES if (r.namespaced and f"count/{r.qualified}" in used) or r.plural in used)]
    for resource in {resource.plural: resource for resource in counted}.values():
        for item in store.all(resource, limit["metadata"]["namespace"]):
            for name, value in _cost(resource, item).items():
                if name in used:
                    used[name] += value
    return used


class QuotaController:
    """Keeps `status.used` of quotas."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen = -1

    def step(self) -> None:
        """One pass, whenever something has changed."""
        if self._seen == self.store.version:
            return
        for limit in self.store.all(QUOTAS):
            used = {name: write_quantity(value) for name, value in _used(self.store, limit).items()}
            status = {"hard": limit["spec"].get("hard", {}), "used": used}
            self.store.change(QUOTAS, *place(limit), lambda stored, status=status: stored.update(status=status))
        self._seen = self.store.version
