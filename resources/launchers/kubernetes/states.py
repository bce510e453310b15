"""What a job is doing, in the words that people see in the Dagster log."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from resources.launchers.kubernetes.manifests import Manifest
from resources.launchers.kubernetes.pods import PULLING, Pod, newest_by_index


class State(enum.Enum):
    """Where a job stands between its creation and its end."""

    QUEUED = "QUEUED"
    PULLING = "PULLING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    CHECKPOINTING = "CHECKPOINTING"
    FAILED = "FAILED"
    COMPLETE = "COMPLETE"
    GONE = "GONE"


@dataclass(frozen=True)
class Standing:
    """A state, and why."""

    state: State
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state.value}: {self.detail}" if self.detail else self.state.value


def standing(job: Manifest | None, pods: Iterable[Pod], nodes: int) -> Standing:
    """Where the job stands; `pods` are all that were seen of it, `nodes` how many it needs."""
    if job is None:
        return Standing(State.GONE, "the Job was deleted")
    for kind, state in (("Complete", State.COMPLETE), ("Failed", State.FAILED)):
        if found := condition(job, kind):
            return Standing(state, f"{found.get('reason', '')}: {found.get('message', '')}".strip(": "))
    present = [pod for pod in newest_by_index(pods).values() if not pod.gone]
    leaving = [pod for pod in present if pod.deleting and pod.running]
    if condition(job, "FailureTarget"):
        return Standing(State.CHECKPOINTING, "a rank has failed; the others are asked to stop")
    if leaving or "deletionTimestamp" in job["metadata"]:
        return Standing(State.CHECKPOINTING, f"{_names(leaving)} asked to stop" if leaving else "asked to stop")
    if job["spec"].get("suspend"):
        return Standing(State.QUEUED, "suspended until its queue admits it")
    for pod in present:
        if pod.held is not None:
            return Standing(State.QUEUED, pod.held)
    if len(present) < nodes or any(pod.node is None for pod in present):
        return Standing(State.QUEUED, f"{len(present)} of {nodes} pods exist; waiting for nodes")
    for pod in present:
        if pod.waiting and pod.waiting[0] in PULLING:
            return Standing(State.PULLING, f"{pod.name} on {pod.node}: {pod.waiting[0]}: {pod.waiting[1]}")
    if waiting := [pod for pod in present if pod.waiting or pod.phase == "Pending"]:
        reasons = sorted({pod.waiting[0] for pod in waiting if pod.waiting} - {""})
        return Standing(State.STARTING, f"{_names(waiting)} {', '.join(reasons)}".strip())
    return Standing(State.RUNNING, ", ".join(f"{pod.name} on {pod.node}" for pod in sorted(present, key=lambda p: p.index)))


def condition(job: Manifest, kind: str) -> Manifest | None:
    """The job's condition of this type, when it holds."""
    for each in job.get("status", {}).get("conditions", []):
        if each["type"] == kind and each["status"] == "True":
            return each
    return None


def _names(pods: list[Pod]) -> str:
    return ", ".join(pod.name for pod in pods)
