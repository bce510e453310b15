"""The scheduler: pods without a node get one, or a reason why not."""

from collections import Counter
from decimal import Decimal

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import event, set_condition
from tests.kubernetes.fake.deletion import ended, going, place
from tests.kubernetes.fake.quantities import quantity
from tests.kubernetes.fake.resources import CLAIMS, NODES, PODS
from tests.kubernetes.fake.store import Store


class Scheduler:
    """Filters by node selector and affinity, taints, claims and capacity; places on the node with the most room."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen = -1

    def step(self) -> None:
        """Try every pod that waits, whenever anything has changed."""
        if self._seen == self.store.version:
            return
        pods = self.store.all(PODS)
        for pod in pods:
            if not pod["spec"].get("nodeName") and not ended(pod) and not going(pod):
                self._place(pod, self.store.all(PODS))
        self._seen = self.store.version

    def _place(self, pod: Object, pods: list[Object]) -> None:
        nodes = self.store.all(NODES)
        claim = self._missing_claim(pod)
        if claim:
            self._refuse(
                pod,
                f"0/{len(nodes)} nodes are available: {claim}. preemption: 0/{len(nodes)} nodes are available: "
                f"{len(nodes)} Preemption is not helpful for scheduling.",
            )
            return
        reasons = {node["metadata"]["name"]: _objections(pod, node, pods) for node in nodes}
        free = [node for node in nodes if not reasons[node["metadata"]["name"]]]
        if not free:
            self._refuse(pod, _explain(list(reasons.values())))
            return
        used = Counter(other["spec"].get("nodeName") for other in pods if not ended(other))
        chosen = min(free, key=lambda node: (used[node["metadata"]["name"]], node["metadata"]["name"]))["metadata"]["name"]

        def edit(stored: Object) -> None:
            stored["spec"]["nodeName"] = chosen
            set_condition(stored, "PodScheduled", "True", self.store.clock.stamp())

        placed = self.store.change(PODS, *place(pod), edit)
        where = "/".join(place(pod))
        event(self.store, placed, "default-scheduler", "Scheduled", f"Successfully assigned {where} to {chosen}")

    def _missing_claim(self, pod: Object) -> str:
        for volume in pod["spec"].get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                name = claim["claimName"]
                found = self.store.find(CLAIMS, pod["metadata"]["namespace"], name)
                if found is None:
                    return f'persistentvolumeclaim "{name}" not found'
                if (found.get("status") or {}).get("phase") != "Bound":
                    return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def _refuse(self, pod: Object, message: str) -> None:
        def edit(stored: Object) -> None:
            set_condition(stored, "PodScheduled", "False", self.store.clock.stamp(), "Unschedulable", message)

        before = pod["metadata"]["resourceVersion"]
        changed = self.store.change(PODS, *place(pod), edit)
        if changed["metadata"]["resourceVersion"] != before:
            event(self.store, changed, "default-scheduler", "FailedScheduling", message, warning=True)


def amounts(pod: Object, part: str) -> dict[str, Decimal]:
    """The requests or limits of a pod: the sum over its containers, at least the largest init container."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        for name, value in _asked(container, part).items():
            total[name] = total.get(name, Decimal(0)) + value
    for container in pod["spec"].get("initContainers", []):
        for name, value in _asked(container, part).items():
            total[name] = max(total.get(name, Decimal(0)), value)
    return total


def _asked(container: Object, part: str) -> dict[str, Decimal]:
    return {name: quantity(value) for name, value in ((container.get("resources") or {}).get(part) or {}).items()}


def _objections(pod: Object, node: Object, pods: list[Object]) -> list[str]:
    """Why the pod cannot go there, in the words of the scheduler's plugins."""
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in node["spec"].get("taints", []):
        if taint["effect"] != "PreferNoSchedule" and not any(
            tolerates(t, taint) for t in pod["spec"].get("tolerations", [])
        ):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    if not _wanted(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    there = [other for other in pods if other["spec"].get("nodeName") == node["metadata"]["name"] and not ended(other)]
    room = {name: quantity(value) for name, value in node["status"]["allocatable"].items()}
    for other in there:
        for name, value in amounts(other, "requests").items():
            room[name] = room.get(name, Decimal(0)) - value
    objections = ["Too many pods"] if room.get("pods", Decimal(0)) < len(there) + 1 else []
    lacking = sorted(
        name for name, value in amounts(pod, "requests").items() if value > 0 and room.get(name, Decimal(0)) < value
    )
    return objections + [f"Insufficient {name}" for name in lacking]


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether one toleration answers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint["key"]
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


def _wanted(pod: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels", {})
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    if terms is None:
        return True
    name = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_expression(e, labels) for e in term.get("matchExpressions", []))
        and all(_expression(e, name) for e in term.get("matchFields", []))
        for term in terms
    )


def _expression(expression: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case "Lt":
            return value is not None and int(value) < int(values[0])
    raise AssertionError(expression["operator"])


def _explain(reasons: list[list[str]]) -> str:
    counted = Counter(reason for listed in reasons for reason in listed)
    total = len(reasons)
    why = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    shortage = sum(all(r.startswith(("Insufficient", "Too many")) for r in listed) for listed in reasons)
    victims = [f"{shortage} No preemption victims found for incoming pod"] if shortage else []
    victims += [f"{total - shortage} Preemption is not helpful for scheduling"] if total - shortage else []
    return f"0/{total} nodes are available: {why}. preemption: 0/{total} nodes are available: {', '.join(victims)}."
