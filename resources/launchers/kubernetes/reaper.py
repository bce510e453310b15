"""What runs in the cluster, for whom and since when; and the end of what nobody owns."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lifecycle.training.checkpoints import Checkpoints
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import ATTEMPT, DAGSTER_RUN, KEY, PART_OF, RUN_DIR, STAGE, Manifest
from resources.launchers.kubernetes.pods import read_pod, read_time
from resources.launchers.kubernetes.record import LaunchRecord, read_record
from resources.launchers.kubernetes.states import State, standing

OURS = f"{PART_OF}=lifecycle"
OVER = (State.COMPLETE, State.FAILED)


@dataclass(frozen=True)
class Entry:
    """One Job, or one pod that outlived its Job.

    Attributes:
        owner: who wants it, in words; None when nobody does.
        seconds: since it was made.
        checkpoint: the newest, where the run directory can be read.
    """

    kind: str
    name: str
    uid: str
    stage: str
    state: str
    seconds: float
    nodes: int
    owner: str | None
    checkpoint: str | None


def survey(cluster: Cluster, unfinished: Callable[[str], bool]) -> list[Entry]:
    """Everything of ours in the namespace.

    A Job is owned by an unfinished Dagster run, or by an open launch record: its supervisor may have died, the next one
    adopts it. What is over needs no owner: its time to live removes it. Where the store cannot be read from here, no
    record can be missing, and nothing counts as ownerless.

    Args:
        unfinished: whether the Dagster run of this id may still want something.
    """
    jobs, pods = cluster.jobs(OURS), cluster.pods(OURS)
    entries = [_job_entry(job, pods, unfinished) for job in jobs]
    known = {job["metadata"]["uid"] for job in jobs}
    return entries + [_pod_entry(pod) for pod in pods if _outlived(pod, known)]


def reap(cluster: Cluster, entry: Entry) -> None:
    """Delete one that nobody owns, with a grace for its checkpoint."""
    assert entry.owner is None
    (cluster.delete_job if entry.kind == "Job" else cluster.delete_pod)(entry.name, entry.uid)


def _job_entry(job: Manifest, pods: list[Manifest], unfinished: Callable[[str], bool]) -> Entry:
    metadata, nodes = job["metadata"], job["spec"].get("completions", 1)
    labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
    own = [read_pod(pod) for pod in pods if _owner(pod) == metadata["uid"]]
    now = standing(job, own, nodes)
    run_dir = Path(annotations.get(RUN_DIR, ""))
    record = read_record(run_dir, int(labels.get(ATTEMPT, 0)))
    return Entry(
        kind="Job",
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels.get(STAGE, ""),
        state=now.state.value,
        seconds=time.time() - (read_time(metadata.get("creationTimestamp")) or time.time()),
        nodes=nodes,
        owner="over" if now.state in OVER else _wanted(job, record, run_dir, unfinished),
        checkpoint=_checkpoint(run_dir),
    )


def _wanted(job: Manifest, record: LaunchRecord | None, run_dir: Path, unfinished: Callable[[str], bool]) -> str | None:
    run = job["metadata"].get("annotations", {}).get(DAGSTER_RUN, "")
    if record and record.open and record.key == job["metadata"]["labels"].get(KEY):
        return f"run {record.dagster_run[:8]}" if unfinished(record.dagster_run) else "its launch record, nobody follows it"
    if unfinished(run):
        return f"run {run[:8]}"
    return None if _readable(run_dir) else "unknown: its store is not mounted here"


def _readable(run_dir: Path) -> bool:
    """Whether run directories of this store can be seen from here."""
    store = next((path for path in run_dir.parents if path.name == ".runs"), run_dir.parent)
    return run_dir != Path() and store.is_dir()


def _checkpoint(run_dir: Path) -> str | None:
    steps = Checkpoints(run_dir, keep=1).steps() if run_dir.is_dir() else []
    return f"step {max(steps)}" if steps else None


def _outlived(pod: Manifest, jobs: set[str]) -> bool:
    metadata, phase = pod["metadata"], pod.get("status", {}).get("phase")
    return _owner(pod) not in jobs and "deletionTimestamp" not in metadata and phase in ("Pending", "Running")


def _owner(pod: Manifest) -> str | None:
    return next((each["uid"] for each in pod["metadata"].get("ownerReferences", []) if each["kind"] == "Job"), None)


def _pod_entry(pod: Manifest) -> Entry:
    metadata = pod["metadata"]
    return Entry(
        kind="Pod",
        name=metadata["name"],
        uid=metadata["uid"],
        stage=metadata["labels"].get(STAGE, ""),
        state=pod["status"].get("phase", ""),
        seconds=time.time() - (read_time(metadata.get("creationTimestamp")) or time.time()),
        nodes=1,
        owner=None,
        checkpoint=_checkpoint(Path(metadata.get("annotations", {}).get(RUN_DIR, ""))),
    )
