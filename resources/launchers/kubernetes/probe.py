"""A job of a minute that does nothing but meet: the image, the volumes, the network between the nodes, the devices."""

import json
import time
import uuid
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.training.failures import RESULT, Failure
from lifecycle.training.place import folder
from resources.launchers.kubernetes.assembly import assemble
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import Launch, job_name
from resources.launchers.kubernetes.observer import Observer
from resources.launchers.kubernetes.preflight import Finding
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.states import State, standing
from resources.launchers.kubernetes.verdict import judge

STAGE = "probe"
PROGRAM = "lifecycle.training.probe"


def probe(cluster: Cluster, profile: ClusterProfile, store: Path, processes: int, seconds: float) -> Finding:
    """Run the probe on as many nodes as `processes` ranks need, and delete it, whatever comes of it."""
    nonce = uuid.uuid4().hex
    run_dir = store / ".runs" / f"{STAGE}-{nonce[:8]}"
    if not profile.holds(run_dir):
        return Finding(STAGE, False, f"pods cannot write to {run_dir}: no writable volume of the profile is mounted there")
    job = TrainingJob(
        stage=STAGE,
        fingerprint=nonce,
        program=PROGRAM,
        config={},
        inputs={},
        output=str(run_dir / "output"),
        run_dir=str(run_dir),
        processes=processes,
        nodes=profile.nodes_for(processes),
    )
    run_dir.mkdir(parents=True)
    made, _ = assemble(cluster, Launch(job, job_name(STAGE, nonce, 0), nonce, 0, ""), profile)
    try:
        with Observer(cluster, made, run_dir / "pods") as observer:
            return _outcome(observer, job, time.monotonic() + seconds, seconds)
    finally:
        cluster.delete_job(made["metadata"]["name"], made["metadata"]["uid"])


def _outcome(observer: Observer, job: TrainingJob, until: float, seconds: float) -> Finding:
    run_dir = Path(job.run_dir)
    while True:
        sight = observer.wait(0.5)
        now = standing(sight.job, sight.pods, job.nodes)
        if now.state is State.COMPLETE:
            facts = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
            return Finding(STAGE, True, ", ".join(f"{name} {value}" for name, value in facts.items()))
        if now.state in (State.FAILED, State.GONE):
            said = {node: failure for node in range(job.nodes) if (failure := Failure.read(folder(run_dir, node)))}
            verdict = judge(sight.pods, said)
            return Finding(STAGE, False, f"{verdict.cause.value}: {verdict.message}. {verdict.cause.advice}")
        if time.monotonic() > until:
            return Finding(STAGE, False, f"not done after {seconds:.0f} s: {now}")
