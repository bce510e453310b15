"""What neither the cluster nor time may end: an image that cannot be pulled, a node that no longer answers, a volume that
cannot be mounted."""

import time
from collections.abc import Iterable

from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes.pods import BROKEN, PULLING, Pod
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.verdict import Verdict, cannot_start, lost

SLOW_SECONDS = 20.0
"""A container that takes longer to start is asked why, again after each such time."""
SURE_SECONDS = 30
"""An error that names the image or a missing Secret is believed after so long."""


class Watchdog:
    """Measures by its own clock for how long it has seen a pod in a bad way: clocks of the cluster may differ from it."""

    def __init__(self, profile: ClusterProfile) -> None:
        self._profile = profile
        self._since: dict[tuple[str, str], float] = {}

    def look(self, pods: Iterable[Pod]) -> tuple[Pod, Verdict] | None:
        """A pod for which waiting is over, and why."""
        for pod in pods:
            if pod.gone or pod.exit_code is not None:
                continue
            reason = pod.waiting[0] if pod.waiting else ""
            bad = reason in PULLING or reason in BROKEN
            if self._seconds(pod, "waiting", bad) > self._allowed(pod, reason):
                return pod, cannot_start(pod)
            leaving = self._seconds(pod, "leaving", pod.deleting is not None)
            if leaving > self._profile.grace_seconds + self._profile.lost_node_seconds:
                return pod, lost(pod)
        return None

    def _allowed(self, pod: Pod, reason: str) -> float:
        sure = reason in BROKEN or cannot_start(pod).cause is ExitClass.CONFIGURATION
        return min(SURE_SECONDS, self._profile.pull_seconds) if sure else self._profile.pull_seconds

    def _seconds(self, pod: Pod, what: str, holds: bool) -> float:
        """For how long it has held; 0 where it does not. An image is tried again and again: between two tries it holds."""
        if not holds:
            if pod.started is not None:
                self._since.pop((pod.uid, what), None)
            return 0.0
        return time.monotonic() - self._since.setdefault((pod.uid, what), time.monotonic())


class SlowStarts:
    """Finds the pods that have a node and whose container has not started for `SLOW_SECONDS`."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}

    def look(self, pods: Iterable[Pod]) -> list[Pod]:
        """Those of which the cluster should be asked now; each again after as long."""
        now = time.monotonic()
        waiting = [pod for pod in pods if pod.node and pod.started is None and not pod.gone and pod.deleting is None]
        due = [pod for pod in waiting if now - self._asked.setdefault(pod.uid, now) > SLOW_SECONDS]
        self._asked |= {pod.uid: now for pod in due}
        return due
