"""One attempt from its Job's first sight to its end: what is said meanwhile, and the verdict."""

import logging
from dataclasses import dataclass
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.journal import read_metrics
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.observer import Observer, Sight
from resources.launchers.kubernetes.outcome import GONE, failures, is_whole
from resources.launchers.kubernetes.pods import Pod
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.record import LaunchRecord, last_record
from resources.launchers.kubernetes.states import Standing, State, standing
from resources.launchers.kubernetes.stuck import SlowStarts, Watchdog
from resources.launchers.kubernetes.verdict import Verdict, judge

LOOK_SECONDS = 1.0
"""Between two looks at what only time changes (an image that cannot be pulled, a node that does not answer)."""


@dataclass(frozen=True)
class Follower:
    """Follows one attempt at `job`; what people should know goes to `log`."""

    cluster: Cluster
    profile: ClusterProfile
    job: TrainingJob
    record: LaunchRecord
    log: logging.Logger

    def follow(self, observer: Observer) -> Verdict | None:
        """Wait for the end; None when it succeeded."""
        said: Standing | None = None
        watchdog, slow = Watchdog(self.profile), SlowStarts()
        warned: set[str] = set()
        while True:
            sight = observer.wait(LOOK_SECONDS)
            now = standing(sight.job, sight.pods, self.job.nodes)
            if now != said:
                self._say(now)
                said = now
            for pod in slow.look(sight.pods):
                self._warn(pod, warned)
            if now.state is State.COMPLETE:
                return None if self._whole() else Verdict(ExitClass.UNKNOWN, GONE)
            if now.state is State.FAILED:
                return judge(sight.pods, failures(self.job))
            if now.state is State.GONE:
                return self._gone(sight)
            if found := watchdog.look(sight.pods):
                assert sight.job is not None
                pod, verdict = found
                self.cluster.delete_job(self.record.name, sight.job["metadata"]["uid"])
                if pod.deleting:
                    self.cluster.forget_pod(pod.name, pod.uid)
                return verdict

    def missing(self) -> Verdict | None:
        """The verdict over an attempt whose Job was released once and is gone; None when it had succeeded."""
        if self._whole():
            return None
        told = failures(self.job)
        return judge((), told) if told else Verdict(ExitClass.PREEMPTION, "its Job is gone without a result")

    def _say(self, now: Standing) -> None:
        step = ""
        if now.state is State.RUNNING and (metrics := read_metrics(Path(self.job.run_dir))):
            step = f" (step {metrics[-1]['step']})"
        self.log.info("%s: %s%s", self.record.name, now, step)

    def _warn(self, pod: Pod, warned: set[str]) -> None:
        """A volume that cannot be mounted is told in events only, and waited for without end; each is said once."""
        for warning in self.cluster.warnings(pod.name)[-1:]:
            text = f"{pod.name} does not start: {warning}"
            if text not in warned:
                self.log.warning("%s: %s", self.record.name, text)
                warned.add(text)

    def _gone(self, sight: Sight) -> Verdict | None:
        """Deleted by its time to live, by a person, or by another supervisor that was cancelled."""
        if self._whole():
            return None
        written = last_record(Path(self.job.run_dir))
        if written and written.attempt == self.record.attempt and written.state == "cancelled":
            return Verdict(ExitClass.UNKNOWN, f"another run of this asset ({written.dagster_run}) cancelled it")
        told = failures(self.job)
        if any(not ExitClass(each.exit_class).retryable for each in told.values()):
            return judge(sight.pods, told)
        return Verdict(ExitClass.UNKNOWN, "somebody deleted its Job; its checkpoints are kept")

    def _whole(self) -> bool:
        return is_whole(Path(self.job.run_dir), self.record.attempt)
