"""The kubelets: pods that are placed become processes, and their ends become statuses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import event
from tests.kubernetes.fake.containers import Container
from tests.kubernetes.fake.deletion import delete_pod, ended, going, place
from tests.kubernetes.fake.mounts import Image, Machine, NotReadyError
from tests.kubernetes.fake.nodes import disrupt
from tests.kubernetes.fake.podstatus import PodStatus
from tests.kubernetes.fake.resources import PODS
from tests.kubernetes.fake.starting import start_container, tell_pull_failed, why_not_pulled
from tests.kubernetes.fake.store import Store

CREATE_SECONDS = 0.55
REPORT_SECONDS = 0.85
PULL_BACKOFF_SECONDS = 10.0
PHASE_SECONDS = 1.3
"""A container is reported as terminated about a second before the pod's phase follows."""
GONE_SECONDS = 0.5
RESTART_SECONDS = 10.0
NEVER = float("inf")


@dataclass
class Run:
    """What the kubelet remembers of one pod."""

    pod: Object
    begun: float
    step: str = "new"
    due: float = 0.0
    init: list[Container] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    previous: dict[str, Container] = field(default_factory=dict)
    restarts: int = 0
    failed_pulls: int = 0
    stopping_until: float = NEVER
    fate: tuple[str, str] = ("", "")
    """Reason and message where the kubelet itself ends the pod."""

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
                self.runs[uid] = Run(pod, begun=self.store.clock.timer())
            if uid in self.runs:
                self.runs[uid].pod = pod
                self._step(self.runs[uid])
        for uid in set(self.runs) - set(pods):
            for container in self.runs.pop(uid).all():
                container.finish()

    def stop(self) -> None:
        """Kill every process and wait for it."""
        for run in self.runs.values():
            for container in run.all():
                container.finish()

    def kill_node(self, name: str) -> None:
        """The machine is gone: its processes die and nobody reports it."""
        self.dead_nodes.add(name)
        for run in self.runs.values():
            if run.pod["spec"].get("nodeName") == name:
                for container in run.all():
                    container.finish()

    def _step(self, run: Run) -> None:
        now = self.store.clock.timer()
        if going(run.pod):
            self._stop(run, now)
            return
        if ended(run.pod):
            return
        if self._late(run, now):
            message = "Pod was active on the node longer than the specified deadline"
            self.end_early(run, "DeadlineExceeded", message, run.pod["spec"]["terminationGracePeriodSeconds"])
        if now >= run.due:
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
        if _all_ended(run.containers.values()):
            self._after_end(run, now)
            return
        self._status.running(run.pod, run.containers, run.restarts, run.previous)
        run.step = "watch"

    def _on_watch(self, run: Run, now: float) -> None:
        if _all_ended(run.containers.values()):
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
        if run.failed_pulls == 1:
            tell_pull_failed(self.machine, run.pod, image)
        why = why_not_pulled(image)
        if run.failed_pulls % 2:
            self._status.waiting(run.pod, "ErrImagePull", why, sandbox=True)
        else:
            self._status.waiting(run.pod, "ImagePullBackOff", f'Back-off pulling image "{image}": {why}', sandbox=True)
        run.due = now + PULL_BACKOFF_SECONDS

    def _started(self, run: Run, spec: Object, folders: dict[str, Path]) -> Container:
        return start_container(self.machine, self.images[spec["image"]], run.pod, spec, folders)

    def end_early(self, run: Run, reason: str, message: str, grace: float) -> None:
        """The kubelet itself ends the pod: SIGTERM, grace, SIGKILL, and a reason in the status of the pod."""
        run.fate = (reason, message)
        for container in run.all():
            if not container.ended():
                container.ask_to_stop()
        run.stopping_until = self.store.clock.timer() + grace
        self._next(run, "fate", 0.0)

    def _on_fate(self, run: Run, now: float) -> None:
        if now >= run.stopping_until:
            for container in run.all():
                container.kill()
        if _all_ended(run.all()):
            self._status.ended_early(run.pod, run.containers, run.restarts, *run.fate)
            run.step = "done"

    def _late(self, run: Run, now: float) -> bool:
        deadline = run.pod["spec"].get("activeDeadlineSeconds")
        return deadline is not None and now >= run.begun + deadline and not run.fate[0]

    def _stop(self, run: Run, now: float) -> None:
        """Deletion was asked for: SIGTERM, grace, SIGKILL, last status, gone."""
        grace = run.pod["metadata"]["deletionGracePeriodSeconds"]
        if run.step == "gone":
            if now >= run.due:
                delete_pod(self.store, run.pod, 0)
            return
        if run.stopping_until == NEVER:
            run.stopping_until = now + grace
            for container, spec in zip(run.all(), _every(run.pod), strict=False):
                if not container.ended():
                    container.ask_to_stop()
                    name = spec["name"]
                    event(self.store, run.pod, "kubelet", "Killing", f"Stopping container {name}", container=name)
        if now >= run.stopping_until:
            for container in run.all():
                container.kill()
        if _all_ended(run.all()) and not ended(run.pod):
            if run.containers:
                self._status.finished(run.pod, run.containers, run.restarts)
            else:
                self._status.waiting(run.pod, "ContainerCreating", sandbox=run.failed_pulls > 0)
                self._status.waiting(run.pod, "ContainerCreating")
                self._status.never_ran(run.pod)
            run.step, run.due = "gone", now + (GONE_SECONDS if run.containers else 0)

    def _next(self, run: Run, step: str, due: float) -> None:
        run.step, run.due = step, due


def _all_ended(containers: Iterable[Container]) -> bool:
    """Whether all have ended; every one is asked, because asking buries the dead."""
    return sum(not container.ended() for container in containers) == 0


def _every(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def run_of(kubelet: Kubelet, namespace: str, name: str) -> Run:
    """A pod of which a container runs.

    Raises:
        LookupError: there is none of that name.
    """
    for run in kubelet.runs.values():
        if place(run.pod) == (namespace, name) and not _all_ended(run.all()):
            return run
    raise LookupError(f"no container of pod {namespace}/{name} runs")


def kill_pod(kubelet: Kubelet, namespace: str, name: str, reason: str) -> None:
    """SIGKILL to every process of a running pod; `reason` is what its status will say."""
    for container in run_of(kubelet, namespace, name).all():
        container.kill(reason)


def evict_for_pressure(kubelet: Kubelet, namespace: str, name: str) -> None:
    """The node is short of memory and ends the pod at once, with reason Evicted."""
    run = run_of(kubelet, namespace, name)
    message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
    disrupt(kubelet.store, run.pod, "TerminationByKubelet", message)
    kubelet.end_early(run, "Evicted", message, 0)
