"""Nodes, and what happens to pods when one is lost."""

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import set_condition
from tests.kubernetes.fake.deletion import delete_pod, ended, going, place
from tests.kubernetes.fake.resources import NODES, PODS
from tests.kubernetes.fake.scheduler import tolerates
from tests.kubernetes.fake.store import Store, new_metadata

NOT_READY_SECONDS = 52.0
ABANDONED_SECONDS = 60.0
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


def new_node(
    store: Store, name: str, gpus: int = 0, labels: dict[str, str] | None = None, taints: list[Object] | None = None
) -> None:
    """Add a node with 16 cores, 64 GiB and `gpus` of nvidia.com/gpu."""
    stamp = store.clock.stamp()
    room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "200Gi"}
    room |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    node: Object = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": new_metadata(store.clock, {"name": name, "labels": own | (labels or {})}),
        "spec": {"taints": taints} if taints else {},
        "status": {"capacity": room, "allocatable": room, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    }
    set_condition(node, "Ready", "True", stamp, "KubeletReady", "kubelet is posting ready status")
    store.create(NODES, node)


def note_image(store: Store, node: str, image: str) -> None:
    """List an image among those that a node holds."""

    def edit(stored: Object) -> None:
        held = stored["status"].setdefault("images", [])
        if not any(image in entry["names"] for entry in held):
            held.append({"names": [image], "sizeBytes": 1})

    store.change(NODES, "", node, edit)


class NodeController:
    """Marks silent nodes, evicts their pods, and forces out the pods of nodes that were removed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.silent_since: dict[str, float] = {}
        self._tainted_at: dict[str, float] = {}
        self._abandoned_at: dict[str, float] = {}

    def silence(self, name: str) -> None:
        """The node's kubelet stops answering now.

        Raises:
            ApiError: 404, no such node.
        """
        self.store.get(NODES, "", name)
        self.silent_since[name] = self.store.clock.timer()

    def step(self) -> None:
        """One pass over nodes and pods."""
        now = self.store.clock.timer()
        for name, since in list(self.silent_since.items()):
            node = self.store.find(NODES, "", name)
            if node is not None and name not in self._tainted_at and now >= since + NOT_READY_SECONDS:
                self._mark(node)
                self._tainted_at[name] = now
        known = {node["metadata"]["name"] for node in self.store.all(NODES)}
        for pod in self.store.all(PODS):
            node_name = pod["spec"].get("nodeName")
            if node_name in self._tainted_at and not going(pod) and not ended(pod):
                self._evict(pod, now - self._tainted_at[node_name])
            if node_name and node_name not in known:
                self._collect(pod, now)

    def _mark(self, node: Object) -> None:
        stamp = self.store.clock.stamp()

        def edit(stored: Object) -> None:
            message = "Kubelet stopped posting node status."
            set_condition(stored, "Ready", "Unknown", stamp, "NodeStatusUnknown", message)
            taints = [
                {"key": UNREACHABLE["key"], "effect": effect, "timeAdded": stamp} for effect in ("NoSchedule", "NoExecute")
            ]
            stored["spec"]["taints"] = [*stored["spec"].get("taints", []), *taints]

        self.store.change(NODES, *place(node), edit)
        for pod in self.store.all(PODS):
            if pod["spec"].get("nodeName") == node["metadata"]["name"] and not ended(pod):
                self.store.change(PODS, *place(pod), lambda stored: set_condition(stored, "Ready", "False", stamp))

    def _evict(self, pod: Object, seconds: float) -> None:
        matching = [t for t in pod["spec"].get("tolerations", []) if tolerates(t, UNREACHABLE)]
        limits = [t["tolerationSeconds"] for t in matching if "tolerationSeconds" in t]
        if matching and (not limits or seconds < min(limits)):
            return
        disrupt(self.store, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        delete_pod(self.store, self.store.get(PODS, *place(pod)))

    def _collect(self, pod: Object, now: float) -> None:
        """A pod whose node object is gone: failed and removed after a quarantine."""
        uid = pod["metadata"]["uid"]
        if now < self._abandoned_at.setdefault(uid, now) + ABANDONED_SECONDS:
            return
        if not ended(pod):
            disrupt(self.store, pod, "DeletionByPodGC", "PodGC: node no longer exists", failed=True)
            return
        delete_pod(self.store, pod, 0)


def disrupt(store: Store, pod: Object, reason: str, message: str, failed: bool = False) -> None:
    """Give a pod the condition DisruptionTarget."""

    def edit(stored: Object) -> None:
        set_condition(stored, "DisruptionTarget", "True", store.clock.stamp(), reason, message)
        if failed:
            stored["status"]["phase"] = "Failed"

    store.change(PODS, *place(pod), edit)
