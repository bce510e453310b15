"""What a job's status says, from its pods."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import has_condition
from tests.kubernetes.fake.deletion import TRACKING, ended, going, place
from tests.kubernetes.fake.jobtemplate import INDEX
from tests.kubernetes.fake.quantities import read_indexes, write_indexes


@dataclass(frozen=True)
class JobView:
    """A job and its pods at one moment; `counted` holds the uids that the counters include already."""

    job: Object
    pods: list[Object]
    counted: set[str]

    def active(self) -> list[Object]:
        return [pod for pod in self.pods if not ended(pod) and not going(pod)]

    def terminating(self) -> list[Object]:
        return [pod for pod in self.pods if not ended(pod) and going(pod)]

    def ready(self) -> list[Object]:
        return [pod for pod in self.active() if has_condition(pod, "Ready")]

    def newly_succeeded(self) -> list[Object]:
        return [pod for pod in self._uncounted() if pod["status"].get("phase") == "Succeeded"]

    def newly_failed(self) -> list[Object]:
        """Failed, or being deleted where the job replaces pods that are only terminating."""
        early = self.job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
        return [
            pod
            for pod in self._uncounted()
            if pod["status"].get("phase") == "Failed" or (early and going(pod) and not ended(pod))
        ]

    def ignored(self) -> list[Object]:
        return [pod for pod in self.newly_failed() if matching_rule(self.job, pod)[0] == "Ignore"]

    def failures(self) -> int:
        """Failed pods that count against the backoff limit, those of this moment included."""
        return self.job["status"].get("failed", 0) + len(self.newly_failed()) - len(self.ignored())

    def restarts(self) -> int:
        if self.job["spec"]["template"]["spec"]["restartPolicy"] != "OnFailure":
            return 0
        return sum(s["restartCount"] for pod in self.active() for s in pod["status"].get("containerStatuses", []))

    def complete(self) -> bool:
        spec = self.job["spec"]
        if spec["completionMode"] == "Indexed":
            return len(succeeded_indexes(self.job, self.newly_succeeded())) >= spec["completions"]
        succeeded = self.job["status"].get("succeeded", 0) + len(self.newly_succeeded())
        if spec.get("completions") is None:
            return succeeded > 0 and not self.active()
        return succeeded >= spec["completions"]

    def wanted(self) -> Sequence[int | None]:
        """The indexes for which a pod must be made now (None for each pod of a job without indexes)."""
        spec = self.job["spec"]
        blocking = self.active()
        if spec["podReplacementPolicy"] == "Failed":
            blocking = [pod for pod in self.pods if not ended(pod)]
        room = max(0, spec["parallelism"] - len(blocking))
        if spec["completionMode"] == "Indexed":
            taken = succeeded_indexes(self.job, []) | {index_of(pod) for pod in blocking}
            return [index for index in range(spec["completions"]) if index not in taken][:room]
        succeeded = self.job["status"].get("succeeded", 0)
        if spec.get("completions") is None:
            return [None] * (0 if succeeded else room)
        return [None] * max(0, min(room, spec["completions"] - succeeded - len(blocking)))

    def _uncounted(self) -> list[Object]:
        return [
            pod
            for pod in self.pods
            if TRACKING in pod["metadata"].get("finalizers", []) and pod["metadata"]["uid"] not in self.counted
        ]


def index_of(pod: Object) -> int:
    """The completion index of a pod of an Indexed job."""
    return int(pod["metadata"]["annotations"][INDEX])


def succeeded_indexes(job: Object, new: list[Object]) -> set[int]:
    """The indexes that the status lists, and those of the new pods."""
    return read_indexes(job["status"].get("completedIndexes", "")) | {index_of(pod) for pod in new}


def count_succeeded(job: Object, status: Object, pods: list[Object]) -> None:
    """Add succeeded pods to the counters of `status`."""
    if not pods:
        return
    if job["spec"]["completionMode"] == "Indexed":
        indexes = succeeded_indexes(job, pods)
        status |= {"succeeded": len(indexes), "completedIndexes": write_indexes(indexes)}
    else:
        status["succeeded"] = status.get("succeeded", 0) + len(pods)


def finished(job: Object) -> bool:
    """Whether the job has its last condition."""
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def target(job: Object) -> Object | None:
    """The condition by which it is decided how the job ends, or None."""
    listed = job["status"].get("conditions", [])
    return next((c for c in listed if c["type"] in ("FailureTarget", "SuccessCriteriaMet")), None)


def matching_rule(job: Object, pod: Object) -> tuple[str, str]:
    """Action of the first pod failure rule that matches, and the message of a job failed by it; ("", "") if none does."""
    where = "/".join(place(pod))
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", [])):
        tail = f"matching {rule['action']} rule at index {number}"
        if codes := rule.get("onExitCodes"):
            for entry in pod["status"].get("containerStatuses", []):
                code = (entry["state"].get("terminated") or {}).get("exitCode", 0)
                named = codes.get("containerName") in (None, entry["name"])
                if code and named and (code in codes["values"]) == (codes["operator"] == "In"):
                    return rule["action"], f"Container {entry['name']} for pod {where} failed with exit code {code} {tail}"
        for pattern in rule.get("onPodConditions", []):
            if has_condition(pod, pattern["type"], pattern.get("status", "True")):
                return rule["action"], f"Pod {where} has condition {pattern['type']} {tail}"
    return "", ""


def add_condition(status: Object, condition: Object, stamp: str) -> None:
    """Append a condition that is true."""
    whole = {"type": condition["type"], "status": "True", "lastProbeTime": stamp, "lastTransitionTime": stamp}
    status.setdefault("conditions", []).append(whole | {"reason": condition["reason"], "message": condition["message"]})


def set_suspended(status: Object, suspended: bool, stamp: str) -> bool:
    """Set the condition Suspended where it applies; says whether it changed."""
    listed = status.get("conditions", [])
    old = next((c for c in listed if c["type"] == "Suspended"), None)
    value = "True" if suspended else "False"
    if (old is None and not suspended) or (old is not None and old["status"] == value):
        return False
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    entry = {"type": "Suspended", "status": value, "lastProbeTime": stamp, "lastTransitionTime": stamp}
    others = [c for c in listed if c["type"] != "Suspended"]
    status["conditions"] = [*others, entry | {"reason": reason, "message": message}]
    return True
