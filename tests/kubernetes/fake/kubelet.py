"""The kubelets: pods that are placed become processes, and their ends become statuses."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import event
from tests.kubernetes.fake.containers import Container, default_environment
from tests.kubernetes.fake.deletion import delete_pod, ended, going, place
from tests.kubernetes.fake.mounts import Image, Machine, NotReadyError, expand, relocate
from tests.kubernetes.fake.podstatus import PodStatus, new_container_id
from tests.kubernetes.fake.resources import PODS
from tests.kubernetes.fake.store import Store

CREATE_SECONDS = 0.55
REPORT_SECONDS = 0.85
PULL_BACKOFF_SECONDS = 10.0
PHASE_SECONDS = 1.0
"""A container is reported as terminated about a second before the pod's phase follows."""
GONE_SECONDS = 0.5
RESTART_SECONDS = 10.0


@dataclass
class Run:
    """What the kubelet remembers of one pod."""

    pod: Object
    step: str = "new"
    due: float = 0.0
    init: list[Container] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    previous: dict[str, Container] = field(default_factory=dict)
    restarts: int = 0
    failed_pulls: int = 0
    stopping_until: float | None = None

    def all(self) -> list[Container]:
        return [*self.init, *self.containers.values()]


class Kubelet:
    """All kubelets of the cluster, stepped by the control loop."""

    def __init__(self, store: Store, machine: Machine, images: dict[str, Image]) -> None:
        self.store = store
        self.machine = machine
        self.images = images
        self.dead_nodes: set[str] = set()
        self.runs: dict[str, Run] = {}
        self._status = PodStatus(store, machine.network)

    def step(self) -> None:
        """Look once at every placed pod whose node lives."""
        pods = {pod["metadata"]["uid"]: pod for pod in self.store.all(PODS)}
        for uid, pod in pods.items():
            node = pod["spec"].get("nodeName")
            if not node or node in self.dead_nodes:
                continue
            if uid not in self.runs and not ended(pod):
                self.runs[uid] = Run(pod)
            if uid in self.runs:
                self.runs[uid].pod = pod
                self._step(self.runs[uid])
        for uid in set(self.runs) - set(pods):
            for container in self.runs.pop(uid).all():
                container.kill()
                container.ended()

    def stop(self) -> None:
        """Kill every process and wait for it."""
        for run in self.runs.values():
            for container in run.all():
                container.kill()
                container.ended()

    def kill_node(self, name: str) -> None:
        """The machine is gone: its processes die and nobody reports it."""
        self.dead_nodes.add(name)
        for run in self.runs.values():
            if run.pod["spec"].get("nodeName") == name:
                for container in run.all():
                    container.kill()
                    container.ended()

    def _step(self, run: Run) -> None:
        now = self.store.clock.timer()
        if going(run.pod):
            self._stop(run, now)
        elif now >= run.due and not ended(run.pod):
            getattr(self, f"_on_{run.step}")(run, now)

    def _on_new(self, run: Run, now: float) -> None:
        self._status.waiting(run.pod, "ContainerCreating")
        self._next(run, "create", now + CREATE_SECONDS)

    def _on_create(self, run: Run, now: float) -> None:
        missing = next((c["image"] for c in _every(run.pod) if c["image"] not in self.images), None)
        if missing is not None:
            self._cannot_pull(run, now, missing)
            return
        try:
            folders = self.machine.volumes(run.pod)
            if len(run.init) < len(run.pod["spec"].get("initContainers", [])):
                spec = run.pod["spec"]["initContainers"][len(run.init)]
                run.init.append(self._started(run, spec, folders))
                self._next(run, "init", now)
                return
            for spec in run.pod["spec"]["containers"]:
                run.containers[spec["name"]] = self._started(run, spec, folders)
        except NotReadyError as problem:
            if run.failed_pulls == 0:
                event(self.store, run.pod, "kubelet", problem.reason, str(problem), warning=True)
            run.failed_pulls += 1
            if problem.reason != "FailedMount":
                self._status.waiting(run.pod, problem.reason, str(problem))
            run.due = now + 1.0
            return
        self._next(run, "report", now + REPORT_SECONDS)

    def _on_init(self, run: Run, now: float) -> None:
        container = run.init[-1]
        if not container.ended():
            return
        if container.code == 0:
            self._next(run, "create", now)
        elif run.pod["spec"]["restartPolicy"] == "Never":
            self._status.init_failed(run.pod, container)
            run.step = "done"
        else:
            run.init.pop()
            self._next(run, "create", now + RESTART_SECONDS)

    def _on_report(self, run: Run, now: float) -> None:
        if all(container.ended() for container in run.containers.values()):
            self._after_end(run, now)
            return
        self._status.running(run.pod, run.containers, run.restarts, run.previous)
        run.step = "watch"

    def _on_watch(self, run: Run, now: float) -> None:
        if all([container.ended() for container in run.containers.values()]):
            self._after_end(run, now)

    def _after_end(self, run: Run, now: float) -> None:
        code = max(container.code or 0 for container in run.containers.values())
        policy = run.pod["spec"]["restartPolicy"]
        if policy == "Always" or (policy == "OnFailure" and code != 0):
            run.previous = dict(run.containers)
            run.restarts += 1
            self._status.crashed(run.pod, run.containers, run.restarts)
            delay = RESTART_SECONDS * 2 ** (run.restarts - 1)
            self._next(run, "create", now + delay)
            return
        self._status.terminated(run.pod, run.containers, run.restarts)
        self._next(run, "phase", now + PHASE_SECONDS)

    def _on_phase(self, run: Run, now: float) -> None:
        self._status.finished(run.pod, run.containers, run.restarts)
        run.step = "done"

    def _on_done(self, run: Run, now: float) -> None:
        run.due = now

    def _cannot_pull(self, run: Run, now: float, image: str) -> None:
        run.failed_pulls += 1
        name = run.pod["spec"]["containers"][0]["name"]
        host, _, rest = image.partition("/")
        repository, _, tag = rest.rpartition(":")
        why = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
            f'Head "https://{host}/v2/{repository}/manifests/{tag}": dial tcp: lookup {host}: no such host'
        )
        if run.failed_pulls == 1:
            told = [
                (False, "Pulling", f'Pulling image "{image}"'),
                (True, "Failed", f'Failed to pull image "{image}": {why}'),
                (True, "Failed", "Error: ErrImagePull"),
                (False, "BackOff", f'Back-off pulling image "{image}"'),
                (True, "Failed", "Error: ImagePullBackOff"),
            ]
            for warning, reason, message in told:
                event(self.store, run.pod, "kubelet", reason, message, warning, name)
        if run.failed_pulls % 2:
            self._status.waiting(run.pod, "ErrImagePull", why, sandbox=True)
        else:
            self._status.waiting(run.pod, "ImagePullBackOff", f'Back-off pulling image "{image}": {why}', sandbox=True)
        run.due = now + PULL_BACKOFF_SECONDS

    def _started(self, run: Run, spec: Object, folders: dict[str, Path]) -> Container:
        pod, name = run.pod, spec["name"]
        image = self.images[spec["image"]]
        scratch = self.machine.scratch(pod)
        base = (
            default_environment(scratch)
            | image.environment
            | {"HOSTNAME": pod["spec"].get("hostname", pod["metadata"]["name"])}
        )
        raw = self.machine.environment(pod, spec, base)
        mounted = {
            mount["mountPath"]: folders[mount["name"]] / mount.get("subPath", "")
            for mount in spec.get("volumeMounts", [])
            if mount["name"] in folders
        }

        def local(text: str) -> str:
            return relocate(self.machine.network.resolve(expand(text, raw), pod), mounted)

        words = [*(spec.get("command") or image.entrypoint), *spec.get("args", [])]
        argv = [local(word) for word in words]
        own = {key: value if key in base else local(value) for key, value in raw.items()}
        folder = Path(local(spec["workingDir"])) if spec.get("workingDir") else scratch
        for reason, message in (
            ("Pulled", f'Container image "{spec["image"]}" already present on machine'),
            ("Created", f"Created container: {name}"),
        ):
            event(self.store, pod, "kubelet", reason, message, container=name)
        container = Container(new_container_id(), self.store.clock)
        container.start(argv, own, folder)
        event(self.store, pod, "kubelet", "Started", f"Started container {name}", container=name)
        return container

    def _stop(self, run: Run, now: float) -> None:
        """Deletion was asked for: SIGTERM, grace, SIGKILL, last status, gone."""
        grace = run.pod["metadata"]["deletionGracePeriodSeconds"]
        if run.step == "gone":
            if now >= run.due:
                delete_pod(self.store, run.pod, 0)
            return
        if run.stopping_until is None:
            run.stopping_until = now + grace
            for container, spec in zip(run.all(), _every(run.pod), strict=False):
                if not container.ended():
                    container.ask_to_stop()
                    event(
                        self.store,
                        run.pod,
                        "kubelet",
                        "Killing",
                        f"Stopping container {spec['name']}",
                        container=spec["name"],
                    )
        if now >= run.stopping_until:
            for container in run.all():
                container.kill()
        if all([container.ended() for container in run.all()]) and not ended(run.pod):
            if run.containers:
                self._status.finished(run.pod, run.containers, run.restarts)
            else:
                self._status.never_ran(run.pod)
            run.step, run.due = "gone", now + (GONE_SECONDS if run.containers else 0)

    def _next(self, run: Run, step: str, due: float) -> None:
        run.step, run.due = step, due


def _every(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def kill_pod(kubelet: Kubelet, namespace: str, name: str, reason: str) -> None:
    """SIGKILL to every process of a running pod; `reason` is what its status will say.

    Raises:
        LookupError: no container of that pod runs.
    """
    for run in kubelet.runs.values():
        alive = [container for container in run.all() if not container.ended()]
        if place(run.pod) == (namespace, name) and alive:
            for container in alive:
                container.kill(reason)
            return
    raise LookupError(f"no container of pod {namespace}/{name} runs")
