"""Why an attempt failed: from the verdicts that the launchers left in the run directory, and from what the pods say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lifecycle.training.exits import ExitClass, classify_signal
from lifecycle.training.failures import Failure
from resources.launchers.kubernetes.pods import Pod

LATER = {ExitClass.PREEMPTION: 1, ExitClass.AGAIN: 2, ExitClass.UNKNOWN: 2, ExitClass.NETWORK: 3}
"""Causes by rank. A rank that lost another reports an error of its own: every class not here is a cause, these may be
consequences."""
NO_IMAGE = ("not found", "manifest unknown", "no such host", "unauthorized", "denied", "invalid reference", "does not exist")
OVER_ITS_OWN_LIMIT = ("exceeds the total limit", "exceeds the limit", "exceeded its local ephemeral storage limit")


@dataclass(frozen=True)
class Verdict:
    """The first cause.

    Attributes:
        rank: the first rank that failed, where one is known.
        node: the Kubernetes node that it ran on.
        time: when, in seconds since the epoch.
    """

    cause: ExitClass
    message: str
    rank: int | None = None
    pod: str | None = None
    node: str | None = None
    time: float = 0.0
    last_lines: tuple[str, ...] = ()


def judge(pods: Iterable[Pod], failures: Mapping[int, Failure]) -> Verdict:
    """The first cause of an attempt's failure.

    Args:
        failures: what the launcher of each node (by its number) said, where it could.
    """
    found = [verdict for pod in pods if (verdict := _of_pod(pod, failures))]
    if not found:  # the pods are gone, and what they were was not seen
        found = [_said(failure) for failure in failures.values()]
    if not found:
        return Verdict(ExitClass.UNKNOWN, "the Job failed and no pod says why")
    return min(found, key=lambda verdict: (LATER.get(verdict.cause, 0), verdict.time))


def cannot_start(pod: Pod) -> Verdict:
    """The verdict over a pod whose container has not started within its time."""
    reason, message = pod.waiting or ("", "")
    final = any(words in message.lower() for words in NO_IMAGE) or "Pull" not in reason
    return Verdict(
        ExitClass.CONFIGURATION if final else ExitClass.NETWORK,
        f"{pod.name} cannot start: {reason}: {message}",
        pod=pod.name,
        node=pod.node,
    )


def lost(pod: Pod) -> Verdict:
    """The verdict over a pod that does not go although its grace has passed: nobody answers on its node."""
    return Verdict(ExitClass.NODE_FAULT, f"{pod.name}: its node {pod.node} no longer answers", pod=pod.name, node=pod.node)


def _of_pod(pod: Pod, failures: Mapping[int, Failure]) -> Verdict | None:
    if pod.exit_reason == "OOMKilled":
        return _verdict(pod, ExitClass.OUT_OF_MEMORY, f"{pod.name} needed more than its memory limit (OOMKilled)")
    said = failures.get(pod.index)
    if said and pod.failed and (pod.exit_code is None or pod.exit_code == ExitClass(said.exit_class).code):
        return replace(_said(said), pod=pod.name, node=pod.node)
    if pod.disrupted:
        reason, message = pod.disrupted
        return _verdict(pod, ExitClass.PREEMPTION, f"the cluster took {pod.name} away: {reason}: {message}")
    if pod.reason:
        return _verdict(pod, _of_reason(pod), f"{pod.name}: {pod.reason}: {pod.message}")
    if pod.exit_code:
        message = f"{pod.name} ended with exit code {pod.exit_code} ({pod.exit_reason})"
        return _verdict(pod, _of_code(pod.exit_code), message)
    if pod.deleting and pod.failed:
        return _verdict(pod, ExitClass.PREEMPTION, f"{pod.name} was deleted")
    return None


def _said(failure: Failure) -> Verdict:
    cause = ExitClass(failure.exit_class)
    return Verdict(cause, failure.message, failure.rank, time=failure.time, last_lines=failure.last_lines)


def _of_reason(pod: Pod) -> ExitClass:
    if pod.reason == "DeadlineExceeded":
        return ExitClass.CONFIGURATION
    if pod.reason == "Evicted":
        by_itself = any(words in pod.message for words in OVER_ITS_OWN_LIMIT)
        return ExitClass.CONFIGURATION if by_itself else ExitClass.PREEMPTION
    if pod.reason in ("NodeLost", "UnexpectedAdmissionError", "NodeAffinity", "NodeShutdown", "Terminated"):
        return ExitClass.NODE_FAULT
    return _of_code(pod.exit_code) if pod.exit_code else ExitClass.UNKNOWN


def _of_code(code: int) -> ExitClass:
    """128 is the container runtime's own: the command cannot be started."""
    for cause in ExitClass:
        if cause.code == code:
            return cause
    if code in (126, 127, 128):
        return ExitClass.CONFIGURATION
    return classify_signal(code - 128, False) if code > 128 else ExitClass.UNKNOWN


def _verdict(pod: Pod, cause: ExitClass, message: str) -> Verdict:
    return Verdict(cause, message, pod=pod.name, node=pod.node, time=pod.finished or pod.deleting or 0.0)
