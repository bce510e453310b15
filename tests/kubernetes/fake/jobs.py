"""The Job controller: pods for jobs, and the steps by which a job ends."""

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.fake.answers import ApiError, Object
from tests.kubernetes.fake.conditions import event
from tests.kubernetes.fake.deletion import TRACKING, delete_object, delete_pod, drop_finalizer, going, owned_by, place
from tests.kubernetes.fake.jobstatus import (
    JobView,
    add_condition,
    count_succeeded,
    finished,
    matching_rule,
    set_suspended,
    target,
)
from tests.kubernetes.fake.jobtemplate import pod_of
from tests.kubernetes.fake.quota import check_new
from tests.kubernetes.fake.resources import JOBS, PODS
from tests.kubernetes.fake.store import Store

BATCH_SECONDS = 1.0
"""Changes of pods are looked at together, a second later."""
BACKOFF_SECONDS = 10.0
NEVER = float("inf")


@dataclass
class Record:
    """What the controller remembers of one job between looks."""

    due: float = NEVER
    seen: tuple[Any, ...] = ()
    generation: int = -1
    started: float | None = None
    finished: float | None = None
    create_after: float = 0.0
    counted: set[str] = field(default_factory=set)
    """Uids of the pods that the counters include already."""


class JobController:
    """Steps every job: at once when its spec changed, a second later when one of its pods did."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._records: dict[str, Record] = {}
        self._random = random.Random(7)

    def step(self) -> None:
        """One pass over all jobs, and over pods whose job is gone."""
        jobs = {job["metadata"]["uid"]: job for job in self.store.all(JOBS)}
        for uid, job in jobs.items():
            self._look(self._records.setdefault(uid, Record()), job)
        for uid in set(self._records) - set(jobs):
            del self._records[uid]
        for pod in self.store.all(PODS):
            owners = [owner["uid"] for owner in pod["metadata"].get("ownerReferences", [])]
            if TRACKING in pod["metadata"].get("finalizers", []) and not jobs.keys() & set(owners):
                drop_finalizer(self.store, PODS, pod, TRACKING)

    def _look(self, record: Record, job: Object) -> None:
        now = self.store.clock.timer()
        pods = self._pods(job)
        if finished(job) and not going(job):
            self._expire(record, job, now)
            return
        seen = tuple(_shape(pod) for pod in pods)
        if seen != record.seen:
            record.seen, record.due = seen, min(record.due, now + BATCH_SECONDS)
        if job["metadata"]["generation"] != record.generation:
            record.generation, record.due = job["metadata"]["generation"], now
        late = self._late(record, job, now)
        if now < record.due and not (late and target(job) is None):
            return
        record.due = NEVER
        self._sync(record, job, JobView(job, pods, record.counted), late, now)
        if record.create_after > now:
            record.due = min(record.due, record.create_after)

    def _late(self, record: Record, job: Object, now: float) -> bool:
        deadline = job["spec"].get("activeDeadlineSeconds")
        running = record.started is not None and not job["spec"]["suspend"]
        return bool(running and deadline is not None and now >= record.started + deadline)

    def _sync(self, record: Record, job: Object, view: JobView, late: bool, now: float) -> None:
        status = copy.deepcopy(job["status"])
        if going(job):
            for pod in view.pods:
                drop_finalizer(self.store, PODS, pod, TRACKING)
            self._write(job, status)
            return
        verdict = target(job) or self._verdict(view, late)
        if verdict is not None:
            self._finish(record, view, status, verdict)
            return
        if job["spec"]["suspend"]:
            self._suspend(job, view, status)
            return
        resumed = set_suspended(status, False, self.store.clock.stamp())
        if resumed or "startTime" not in status:
            status["startTime"] = self.store.clock.stamp()
            record.started = now
        self._count(record, view, status, [])
        if now >= record.create_after:
            self._create(record, job, JobView(job | {"status": status}, self._pods(job), record.counted))
        if resumed:
            event(self.store, job, "job-controller", "Resumed", "Job resumed")
        self._write(job, status)

    def _verdict(self, view: JobView, late: bool) -> Object | None:
        """The condition that decides how the job will end, if that is known now."""
        for pod in view.newly_failed():
            action, message = matching_rule(view.job, pod)
            if action == "FailJob":
                return {"type": "FailureTarget", "reason": "PodFailurePolicy", "message": message}
        limit = view.job["spec"]["backoffLimit"]
        if view.failures() > limit or view.restarts() > limit:
            message = "Job has reached the specified backoff limit"
            return {"type": "FailureTarget", "reason": "BackoffLimitExceeded", "message": message}
        if late:
            message = "Job was active longer than specified deadline"
            return {"type": "FailureTarget", "reason": "DeadlineExceeded", "message": message}
        if view.complete():
            message = "Reached expected number of succeeded pods"
            return {"type": "SuccessCriteriaMet", "reason": "CompletionsReached", "message": message}
        return None

    def _finish(self, record: Record, view: JobView, status: Object, verdict: Object) -> None:
        """Delete what still runs, count everything, and end the job once nothing is terminating."""
        job, stamp = view.job, self.store.clock.stamp()
        fails = verdict["type"] == "FailureTarget"
        if target(job) is None:
            add_condition(status, verdict, stamp)
            status.setdefault("startTime", stamp)
        active = view.active()
        for pod in active:
            self._delete(job, pod)
        self._count(record, view, status, active if fails else [])
        for pod in [] if fails else active:
            drop_finalizer(self.store, PODS, pod, TRACKING)
        self._write(job, status)
        if JobView(job, self._pods(job), record.counted).terminating():
            return
        final = {"type": "Failed" if fails else "Complete", "reason": verdict["reason"], "message": verdict["message"]}
        add_condition(status, final, stamp)
        record.finished = self.store.clock.timer()
        if fails:
            event(self.store, job, "job-controller", verdict["reason"], verdict["message"], warning=True)
        else:
            status["completionTime"] = stamp
            event(self.store, job, "job-controller", "Completed", "Job completed")
        self._write(job, status)

    def _count(self, record: Record, view: JobView, status: Object, deleted: list[Object]) -> None:
        """Move pods that ended into the counters: listed as uncounted, freed of their finalizer, then counted."""
        succeeded, ignored = view.newly_succeeded(), view.ignored()
        failed = [pod for pod in view.newly_failed() if pod not in ignored]
        count_succeeded(view.job, status, succeeded)
        if failed or deleted:
            uids = [pod["metadata"]["uid"] for pod in [*deleted, *failed]]
            self._write(view.job, status | {"uncountedTerminatedPods": {"failed": uids}})
            status["failed"] = status.get("failed", 0) + len(uids)
            record.create_after = self.store.clock.timer() + BACKOFF_SECONDS * 2 ** min(status["failed"] - 1, 6)
        elif succeeded:
            self._write(view.job, status)
        for pod in [*succeeded, *failed, *ignored, *deleted]:
            record.counted.add(pod["metadata"]["uid"])
            drop_finalizer(self.store, PODS, pod, TRACKING)

    def _create(self, record: Record, job: Object, view: JobView) -> None:
        for index in view.wanted():
            suffix = "".join(self._random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
            try:
                pod = pod_of(self.store.clock, job, index, suffix)
                check_new(self.store, PODS, pod)
            except ApiError as refused:
                event(self.store, job, "job-controller", "FailedCreate", f"Error creating: {refused.message}", warning=True)
                record.create_after = self.store.clock.timer() + BACKOFF_SECONDS
                return
            pod = self.store.create(PODS, pod)
            event(self.store, job, "job-controller", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    def _suspend(self, job: Object, view: JobView, status: Object) -> None:
        for pod in view.active():
            drop_finalizer(self.store, PODS, pod, TRACKING)
            self._delete(job, pod)
        changed = set_suspended(status, True, self.store.clock.stamp())
        self._write(job, status)
        if changed:
            event(self.store, job, "job-controller", "Suspended", "Job suspended")

    def _delete(self, job: Object, pod: Object) -> None:
        delete_pod(self.store, pod)
        event(self.store, job, "job-controller", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _expire(self, record: Record, job: Object, now: float) -> None:
        if record.finished is None:
            record.finished = now
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is not None and now >= record.finished + seconds:
            delete_object(self.store, JOBS, job, "Foreground")

    def _pods(self, job: Object) -> list[Object]:
        return [pod for pod in self.store.all(PODS) if owned_by(pod, job["metadata"]["uid"])]

    def _write(self, job: Object, status: Object) -> None:
        """Store the status with the numbers of the pods as they are now."""
        pods = JobView(job, self._pods(job), set())
        active = len(pods.active())
        whole = {key: value for key, value in status.items() if key != "active"} | ({"active": active} if active else {})
        whole |= {"terminating": len(pods.terminating()), "ready": len(pods.ready())}
        whole.setdefault("uncountedTerminatedPods", {})

        def edit(stored: Object) -> None:
            stored["status"] = copy.deepcopy(whole)

        if self.store.find(JOBS, *place(job)) is not None:
            self.store.change(JOBS, *place(job), edit)


def _shape(pod: Object) -> tuple[Any, ...]:
    """What of a pod its job's status depends on."""
    ready = [c["status"] for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
    restarts = sum(entry["restartCount"] for entry in pod["status"].get("containerStatuses", []))
    return pod["metadata"]["uid"], pod["status"].get("phase"), tuple(ready), going(pod), restarts
