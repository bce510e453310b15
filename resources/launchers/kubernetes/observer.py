"""Eyes on one job: what the cluster says of it, as it changes, and the logs of its pods."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.logs import start_copy
from resources.launchers.kubernetes.manifests import ATTEMPT, KEY, Manifest
from resources.launchers.kubernetes.pods import Pod, read_pod

LOG_SECONDS = 10.0
"""For the last lines of the logs to arrive after the end."""


@dataclass(frozen=True)
class Sight:
    """The job and all pods that were ever seen of it, those that are gone included."""

    job: Manifest | None
    pods: tuple[Pod, ...]


class Observer:
    """Follows a job and its pods in threads, and copies the log of each pod from the moment it has one.

    The controller deletes the pods of the other ranks when one fails: what they were and what they said must be known
    by then.
    """

    def __init__(self, cluster: Cluster, job: Manifest, logs: Path) -> None:
        labels = job["metadata"]["labels"]
        self.selector = f"{KEY}={labels[KEY]},{ATTEMPT}={labels[ATTEMPT]}"
        self._cluster, self._logs = cluster, logs
        self._uid = job["metadata"]["uid"]
        self._job: Manifest | None = job
        self._pods: dict[str, Pod] = {}
        self._copies: dict[str, threading.Thread] = {}
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> "Observer":
        self._start(lambda: self._cluster.follow_jobs(self.selector, self._saw_job, self._stop))
        self._start(lambda: self._cluster.follow_pods(self.selector, self._saw_pod, self._stop))
        return self

    def __exit__(self, *_: object) -> None:
        """The watches end with their present request; nothing waits for them."""
        self._stop.set()

    def wait(self, seconds: float) -> Sight:
        """What is known after the next change, or after `seconds`; raises JobFailedError when no more can be."""
        self._changed.wait(seconds)
        self._changed.clear()
        if self._error:
            raise self._error
        return self.sight()

    def sight(self) -> Sight:
        """What is known now."""
        return Sight(self._job, tuple(self._pods.values()))

    def finish_logs(self) -> None:
        """Wait until the logs of pods that have ended are whole."""
        until = time.monotonic() + LOG_SECONDS
        for thread in list(self._copies.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self, work: Callable[[], None]) -> None:
        def watch() -> None:
            try:
                work()
            except BaseException as error:  # a watch that ended unseen would leave the supervisor waiting for ever
                self._error = error
                self._changed.set()

        threading.Thread(target=watch, name="kubernetes watch", daemon=True).start()

    def _saw_job(self, item: Manifest, gone: bool) -> None:
        if item["metadata"]["uid"] == self._uid:
            self._job = None if gone else item
            self._changed.set()

    def _saw_pod(self, item: Manifest, gone: bool) -> None:
        if not any(owner["uid"] == self._uid for owner in item["metadata"].get("ownerReferences", [])):
            return
        pod = read_pod(item, gone)
        self._pods[pod.uid] = pod
        if pod.uid not in self._copies and pod.started is not None and not gone:
            path = self._logs / f"{pod.name}.log"
            self._copies[pod.uid] = start_copy(self._cluster, pod.name, path, lambda: self._ended(pod.uid))
        self._changed.set()

    def _ended(self, uid: str) -> bool:
        pod = self._pods[uid]
        return pod.exit_code is not None or pod.gone or self._stop.is_set()
