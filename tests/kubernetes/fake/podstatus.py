"""What the kubelet writes into a pod's status."""

import hashlib
import uuid
from collections.abc import Callable

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import set_condition
from tests.kubernetes.fake.containers import Container
from tests.kubernetes.fake.deletion import place
from tests.kubernetes.fake.network import Network
from tests.kubernetes.fake.resources import PODS
from tests.kubernetes.fake.store import Store


def new_container_id() -> str:
    """64 hexadecimal digits."""
    return uuid.uuid4().hex + uuid.uuid4().hex


class PodStatus:
    """Writes the statuses of a pod's life, in the order and with the reasons of a 1.32 kubelet."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    def waiting(self, pod: Object, reason: str, message: str = "", sandbox: bool = False) -> None:
        """No container has started: creating, or an image or a reference is missing."""
        state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        unready = f"containers with unready status: [{' '.join(c['name'] for c in pod['spec']['containers'])}]"

        def edit(stored: Object) -> None:
            self._base(stored, sandbox, "ContainersNotReady", unready)
            stored["status"]["containerStatuses"] = [
                _entry(stored, spec, state, False) for spec in stored["spec"]["containers"]
            ]

        self._write(pod, edit)

    def running(self, pod: Object, containers: dict[str, Container], restarts: int, previous: dict[str, Container]) -> None:
        """At least one container runs."""

        def edit(stored: Object) -> None:
            self._base(stored, True, "", "")
            stored["status"]["phase"] = "Running"
            self._containers(stored, containers, restarts, previous)

        self._write(pod, edit)

    def crashed(self, pod: Object, containers: dict[str, Container], restarts: int) -> None:
        """Every container ended and will be restarted in place."""
        state = {
            "waiting": {
                "reason": "CrashLoopBackOff",
                "message": f"back-off {10 * 2 ** (restarts - 1)}s restarting failed container",
            }
        }

        def edit(stored: Object) -> None:
            self._base(stored, True, "ContainersNotReady", "")
            stored["status"]["phase"] = "Running"
            entries = []
            for spec in stored["spec"]["containers"]:
                entry = _entry(stored, spec, state, False) | {"restartCount": restarts}
                entry["lastState"] = self._state(containers[spec["name"]])
                entries.append(entry)
            stored["status"]["containerStatuses"] = entries

        self._write(pod, edit)

    def terminated(self, pod: Object, containers: dict[str, Container], restarts: int) -> None:
        """Every container ended; the phase is still the one before."""

        def edit(stored: Object) -> None:
            self._ended(stored, containers, restarts, True)

        self._write(pod, edit)

    def finished(self, pod: Object, containers: dict[str, Container], restarts: int) -> None:
        """The phase follows."""

        def edit(stored: Object) -> None:
            self._ended(stored, containers, restarts, False)
            stored["status"]["phase"] = "Failed" if _failed(containers) else "Succeeded"

        self._write(pod, edit)

    def ended_early(self, pod: Object, containers: dict[str, Container], restarts: int, reason: str, message: str) -> None:
        """The kubelet ended the pod, for a reason of its own."""
        if containers:
            self.finished(pod, containers, restarts)
        else:
            self.never_ran(pod)
        self._write(pod, lambda stored: stored["status"].update(phase="Failed", reason=reason, message=message))

    def never_ran(self, pod: Object) -> None:
        """Deleted before a container started."""
        message = "The container could not be located when the pod was terminated"
        state = {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": message,
                "startedAt": None,
                "finishedAt": None,
            }
        }

        def edit(stored: Object) -> None:
            unready = f"containers with unready status: [{' '.join(c['name'] for c in stored['spec']['containers'])}]"
            self._base(stored, False, "ContainersNotReady", unready)
            stored["status"]["phase"] = "Failed"
            stored["status"]["containerStatuses"] = [
                _entry(stored, spec, state, False) for spec in stored["spec"]["containers"]
            ]

        self._write(pod, edit)

    def init_failed(self, pod: Object, container: Container) -> None:
        """An init container ended badly and is not restarted."""

        def edit(stored: Object) -> None:
            self._base(stored, False, "PodFailed", "")
            stored["status"]["phase"] = "Failed"
            spec = stored["spec"]["initContainers"][0]
            stored["status"]["initContainerStatuses"] = [_entry(stored, spec, self._state(container), False)]

        self._write(pod, edit)

    def _ended(self, stored: Object, containers: dict[str, Container], restarts: int, sandbox: bool) -> None:
        failed = _failed(containers)
        self._base(stored, sandbox, "PodFailed" if failed else "PodCompleted", "")
        if not failed:
            set_condition(stored, "Initialized", "True", self._store.clock.stamp(), "PodCompleted")
        self._containers(stored, containers, restarts, {})

    def _containers(
        self, stored: Object, containers: dict[str, Container], restarts: int, previous: dict[str, Container]
    ) -> None:
        entries = []
        for spec in stored["spec"]["containers"]:
            container = containers[spec["name"]]
            entry = _entry(stored, spec, self._state(container), container.code is None)
            entry |= {"restartCount": restarts, "containerID": f"containerd://{container.identity}"}
            if spec["name"] in previous:
                entry["lastState"] = self._state(previous[spec["name"]])
            entries.append(entry)
        stored["status"]["containerStatuses"] = entries

    def _state(self, container: Container) -> Object:
        stamp = self._store.clock.stamp
        if container.code is None:
            return {"running": {"startedAt": stamp(container.started_at)}}
        state: Object = {"exitCode": container.code, "reason": container.reason}
        if container.message:
            state["message"] = container.message
        state |= {"startedAt": stamp(container.started_at), "finishedAt": stamp(container.finished_at)}
        return {"terminated": state | {"containerID": f"containerd://{container.identity}"}}

    def _base(self, stored: Object, sandbox: bool, unready: str, message: str) -> None:
        """Conditions, addresses and start; `unready` is the reason why the containers are not ready, if they are not."""
        stamp, status = self._store.clock.stamp(), stored["status"]
        set_condition(stored, "PodReadyToStartContainers", "True" if sandbox else "False", stamp)
        set_condition(stored, "Initialized", "True", stamp)
        for kind in ("Ready", "ContainersReady"):
            set_condition(stored, kind, "False" if unready else "True", stamp, unready, message)
        if "startTime" not in status:
            status |= {"hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}], "startTime": stamp}
        if sandbox:
            address = self._network.address(stored)
            status |= {"podIP": address, "podIPs": [{"ip": address}]}

    def _write(self, pod: Object, edit: Callable[[Object], None]) -> None:
        self._store.change(PODS, *place(pod), edit)


def _failed(containers: dict[str, Container]) -> bool:
    return any(container.code for container in containers.values())


def _entry(pod: Object, spec: Object, state: Object, runs: bool) -> Object:
    known = "running" in state or (state.get("terminated") or {}).get("containerID")
    digest = hashlib.sha256(spec["image"].encode()).hexdigest()
    return {
        "name": spec["name"],
        "state": state,
        "lastState": {},
        "ready": runs,
        "restartCount": 0,
        "image": spec["image"],
        "imageID": f"sha256:{digest}" if known else "",
        "started": runs,
        "volumeMounts": [
            {"name": mount["name"], "mountPath": mount["mountPath"]}
            | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})
            for mount in spec.get("volumeMounts", [])
        ],
    }
