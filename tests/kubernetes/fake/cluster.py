"""The fake cluster as tests hold it."""

import threading
import time
import traceback
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.fake.access import ADMIN_TOKEN, Access
from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.api import Api, evict
from tests.kubernetes.fake.clock import Clock
from tests.kubernetes.fake.collector import Collector
from tests.kubernetes.fake.faults import Faults
from tests.kubernetes.fake.jobs import JobController
from tests.kubernetes.fake.kubelet import Kubelet, evict_for_pressure, kill_pod
from tests.kubernetes.fake.mounts import Image, Machine
from tests.kubernetes.fake.network import Network
from tests.kubernetes.fake.nodes import NodeController, new_node
from tests.kubernetes.fake.quota import QuotaController, add_default_account
from tests.kubernetes.fake.resources import CLAIMS, EVENTS, JOBS, NAMESPACES, NODES, PODS
from tests.kubernetes.fake.scheduler import Scheduler
from tests.kubernetes.fake.server import Server
from tests.kubernetes.fake.store import Store, new_metadata

TICK_SECONDS = 0.01


class FakeCluster:
    """See the package's documentation for what it does and does not do."""

    def __init__(self, folder: Path, scale: float = 10.0, nodes: int = 3, gpus: int = 0, namespace: str = "default") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.namespace = namespace
        self.clock = Clock(scale)
        self.images: dict[str, Image] = {}
        self.claims: dict[str, Path] = {}
        self.faults = Faults()
        self.access = Access()
        self.store = Store(self.clock)
        self._machine = Machine(self.store, Network(self.store), folder / "pods", self.claims)
        self._kubelet = Kubelet(self.store, self._machine, self.images)
        self._node_controller = NodeController(self.store)
        jobs = JobController(self.store)
        # Jobs are looked at on both sides of the kubelets, so that a slow machine cannot hide a state of a pod from them.
        self._steps = [
            Scheduler(self.store).step,
            jobs.step,
            self._kubelet.step,
            self._node_controller.step,
            jobs.step,
            Collector(self.store).step,
            QuotaController(self.store).step,
        ]
        self._passes = 0
        self._server = Server(Api(self.store, self._kubelet, self.access, self.faults).handle)
        self._stopping = threading.Event()
        self._loop = threading.Thread(target=self._run, name="fake-control-plane", daemon=True)
        self.errors: list[str] = []
        """Tracebacks of the control loop: any is a mistake of this package, and fails the test that used it."""
        for name in {"default", namespace}:
            self.add_namespace(name)
        for number in range(nodes):
            new_node(self.store, f"node-{number}", gpus)
        self._server.start()
        self._loop.start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self._config()), encoding="utf-8")

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return self._server.host

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes."""
        return [node["metadata"]["name"] for node in self.store.all(NODES)]

    def jobs(self, namespace: str = "") -> list[Object]:
        """Stored jobs."""
        return self.store.all(JOBS, namespace or self.namespace)

    def pods(self, namespace: str = "") -> list[Object]:
        """Stored pods."""
        return self.store.all(PODS, namespace or self.namespace)

    def events(self, namespace: str = "") -> list[Object]:
        """Stored events."""
        return self.store.all(EVENTS, namespace or self.namespace)

    def add_namespace(self, name: str) -> None:
        """Add an active namespace."""
        metadata = new_metadata(self.clock, {"name": name, "labels": {"kubernetes.io/metadata.name": name}})
        spec, status = {"finalizers": ["kubernetes"]}, {"phase": "Active"}
        self.store.create(
            NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}
        )
        add_default_account(self.store, name)

    def add_node(
        self, name: str, gpus: int = 0, labels: dict[str, str] | None = None, taints: list[Object] | None = None
    ) -> None:
        """Add a node."""
        new_node(self.store, name, gpus, labels, taints)

    def add_claim(self, name: str, folder: Path, namespace: str = "", phase: str = "Bound") -> None:
        """Add a PersistentVolumeClaim whose volume is a local folder."""
        self.claims[name] = folder
        metadata = new_metadata(self.clock, {"name": name, "namespace": namespace or self.namespace})
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "10Gi"}},
            "volumeName": f"pv-{name}",
            "volumeMode": "Filesystem",
        }
        status = {"phase": phase, "accessModes": ["ReadWriteMany"], "capacity": {"storage": "10Gi"}}
        body = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}
        self.store.create(CLAIMS, body)

    def set_gpus(self, node: str, count: int) -> None:
        """Let a node advertise `count` of nvidia.com/gpu."""

        def edit(stored: Object) -> None:
            for part in ("capacity", "allocatable"):
                stored["status"][part] = stored["status"][part] | {"nvidia.com/gpu": str(count)}

        self.store.change(NODES, "", node, edit)

    def evict(self, pod: str, namespace: str = "") -> None:
        """Evict a pod through the Eviction API, as a drain does."""
        evict(self.store, self.store.get(PODS, namespace or self.namespace, pod))

    def oom(self, pod: str, namespace: str = "") -> None:
        """Kill a running pod's processes as the kernel does when memory is short: 137, OOMKilled."""
        with self.store.changed:
            kill_pod(self._kubelet, namespace or self.namespace, pod, "OOMKilled")

    def pressure(self, pod: str, namespace: str = "") -> None:
        """Let the node evict a running pod because it is short of memory: Failed, reason Evicted, DisruptionTarget."""
        with self.store.changed:
            evict_for_pressure(self._kubelet, namespace or self.namespace, pod)

    def kill(self, pod: str, namespace: str = "") -> None:
        """Kill a running pod's processes from outside: 137, Error."""
        with self.store.changed:
            kill_pod(self._kubelet, namespace or self.namespace, pod, "")

    def lose_node(self, name: str) -> None:
        """The machine stops: its pods' processes die, and nobody reports it."""
        with self.store.changed:
            self._node_controller.silence(name)
            self._kubelet.kill_node(name)

    def remove_node(self, name: str) -> None:
        """Delete the Node object, as an administrator does with a lost node."""
        self.store.remove(NODES, "", name)

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the cluster's time pass at once."""
        self.clock.advance(seconds)

    def step(self, seconds: float) -> None:
        """Let `seconds` pass and every controller act on it; with a scale of 0 nothing else moves the timers."""
        self.clock.advance(seconds)
        wanted = self._passes + 2
        while self._passes < wanted:
            time.sleep(TICK_SECONDS / 4)

    def forget_history(self) -> None:
        """Compact: watches and pages from resource versions before now get 410."""
        self.store.forget()

    def away(self, seconds: float | None = None) -> None:
        """Close the API server: refused and cut connections, for that many real seconds or else until `back`."""
        self._server.stop()
        if seconds is not None:
            timer = threading.Timer(seconds, self.back)
            timer.daemon = True
            timer.start()

    def back(self) -> None:
        """Open the API server again."""
        if not self._stopping.is_set():
            self._server.start()

    def close(self) -> None:
        """Stop everything, with every process of every pod."""
        self._stopping.set()
        self._loop.join()
        self._server.stop()
        self._kubelet.stop()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            for step in self._steps:
                try:
                    with self.store.changed:
                        step()
                except Exception:
                    self.errors.append(traceback.format_exc())
            self._passes += 1

    def _config(self) -> Object:
        context = {"cluster": "fake", "user": "fake", "namespace": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.host}}],
            "users": [{"name": "fake", "user": {"token": ADMIN_TOKEN}}],
            "contexts": [{"name": "fake", "context": context}],
        }
