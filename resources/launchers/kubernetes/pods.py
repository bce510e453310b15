"""What a pod's JSON says about one rank's node, read once: everything later is decided from this."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from resources.launchers.kubernetes.manifests import CONTAINER, INDEX, Manifest

PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
BROKEN = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "InvalidImageName", "ErrImageNeverPull")
"""Reasons for which a container waits that time alone does not mend."""


@dataclass(frozen=True)
class Pod:
    """One pod of a job. Times are seconds since the epoch.

    Attributes:
        index: its node's number in the job.
        held: why the scheduler finds no node for it.
        waiting: reason and message of a container that has not started.
        reason: of the pod itself, e.g. Evicted; with `message`.
        disrupted: why the cluster itself took it away (eviction, preemption, taint), as reason and message.
        deleting: when it was asked to go.
        gone: its record has been removed; the rest is what was last seen.
    """

    name: str
    uid: str
    index: int
    phase: str
    node: str | None = None
    created: float = 0.0
    held: str | None = None
    waiting: tuple[str, str] | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    reason: str = ""
    message: str = ""
    disrupted: tuple[str, str] | None = None
    deleting: float | None = None
    gone: bool = False

    @property
    def running(self) -> bool:
        """Whether its program runs, as far as is known."""
        return self.started is not None and self.exit_code is None and not self.gone

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well."""
        return bool(self.exit_code) or self.phase == "Failed" or (self.gone and self.exit_code != 0)

    def ran_seconds(self, now: float) -> float:
        """For how long its program has run, or had."""
        if self.started is None:
            return 0.0
        end = self.finished if self.finished is not None else (self.deleting or now if self.gone else now)
        return max(0.0, end - self.started)


def read_pod(item: Manifest, gone: bool = False) -> Pod:
    """The pod as the API server describes it."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    scheduled, disrupted = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
    container = next((each for each in status.get("containerStatuses", []) if each["name"] == CONTAINER), {})
    state = container.get("state", {})
    waiting, running, ended = state.get("waiting"), state.get("running"), state.get("terminated")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        index=int(metadata.get("labels", {}).get(INDEX, 0)),
        phase=status.get("phase", "Pending"),
        node=spec.get("nodeName"),
        created=read_time(metadata.get("creationTimestamp")) or 0.0,
        held=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else None,
        waiting=(waiting.get("reason", ""), waiting.get("message", "")) if waiting else None,
        started=read_time((running or ended or {}).get("startedAt")),
        finished=read_time((ended or {}).get("finishedAt")),
        exit_code=ended["exitCode"] if ended else None,
        exit_reason=(ended or {}).get("reason", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        disrupted=(disrupted.get("reason", ""), disrupted.get("message", "")) if disrupted.get("status") == "True" else None,
        deleting=read_time(metadata.get("deletionTimestamp")),
        gone=gone,
    )


def newest_by_index(pods: Iterable[Pod]) -> dict[int, Pod]:
    """The pod that stands for each node now: a replaced one no longer does."""
    newest: dict[int, Pod] = {}
    for pod in pods:
        other = newest.get(pod.index)
        if other is None or (not pod.gone, pod.created) >= (not other.gone, other.created):
            newest[pod.index] = pod
    return newest


def read_time(text: str | None) -> float | None:
    """Seconds since the epoch of a time as the API server writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() if text else None
