"""An asset under the Kubernetes launcher: in this process, or in one of its own that can be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from lifecycle.jobs import TrainingJob
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.launcher import KubernetesLauncher
from resources.launchers.kubernetes.manifests import STAGE
from resources.launchers.kubernetes.reaper import OURS
from tests.patience import PATIENCE

REAL = os.environ.get("LIFECYCLE_TEST_KUBECONFIG")
"""A real cluster's kubeconfig; docs/kubernetes.md says what else is to be set."""
CODE = "code"


@dataclass(frozen=True)
class Place:
    """Where the tests' jobs run: a profile file and a kubeconfig, and a folder that pods and tests share."""

    profile: Path
    kubeconfig: Path
    store: Path

    def job(
        self, act: str = "count", processes: int = 2, steps: int = 6, pause: float = 0.1, hold: Sequence[int] = ()
    ) -> TrainingJob:
        """A small job of this store."""
        run_dir, output = self.store / ".runs" / "f00d", self.store / "out"
        run_dir.mkdir(parents=True, exist_ok=True)
        output.mkdir(exist_ok=True)
        return TrainingJob(
            stage="test_model",
            fingerprint="f00d",
            program="tests.kubernetes.programs",
            config={"act": act, "steps": steps, "pause": pause, "hold": list(hold)},
            inputs={},
            output=str(output),
            run_dir=str(run_dir),
            processes=processes,
        )

    def launcher(self) -> KubernetesLauncher:
        """The launcher under test."""
        return KubernetesLauncher(profile_path=str(self.profile), kubeconfig=str(self.kubeconfig))


@dataclass
class Outcome:
    """What Dagster saw of one materialization."""

    success: bool
    value: Any = None
    error: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """What the tests see and do of a cluster, fake or real, through its API."""

    cluster: Cluster

    def jobs(self) -> list[dict[str, Any]]:
        """All Jobs of ours."""
        return self.cluster.jobs(OURS)

    def pods(self) -> list[dict[str, Any]]:
        """All pods of ours."""
        return self.cluster.pods(OURS)

    def names(self) -> list[str]:
        """The names of the Jobs, in order."""
        return sorted(job["metadata"]["name"] for job in self.jobs())

    def running(self, stage: str) -> list[str]:
        """The names of a stage's pods that run, in the order of their nodes' numbers."""
        pods = [pod for pod in self.pods() if pod["metadata"]["labels"][STAGE] == stage]
        return sorted(pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running")

    def pod(self, part: str) -> str:
        """The name of the pod whose name has `part`."""
        return next(pod["metadata"]["name"] for pod in self.pods() if part in pod["metadata"]["name"])

    def evict(self, pod: str) -> None:
        """Take a pod away as the drain of a node does."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self.cluster.core.create_namespaced_pod_eviction(pod, self.cluster.namespace, body)

    def nothing_runs(self) -> None:
        """Wait for the end of all pods."""
        wait_until(lambda: all(pod["status"]["phase"] != "Running" for pod in self.pods()), "the end of all pods")

    def nodes_of(self, job: str) -> list[str]:
        """The nodes on which pods of this Job are or were, each once."""
        return sorted({pod["spec"]["nodeName"] for pod in self.pods() if pod["metadata"]["name"].startswith(f"{job}-")})

    def clear(self) -> None:
        """Delete everything of ours."""
        for job in self.jobs():
            self.cluster.delete_job(job["metadata"]["name"], job["metadata"]["uid"])
        for pod in self.pods():
            self.cluster.delete_pod(pod["metadata"]["name"], pod["metadata"]["uid"])
        wait_until(lambda: not self.pods(), "the end of what the test left")


def write_profile(path: Path, store: Path, **changes: Any) -> Path:
    """A profile for small pods that share `store` with this process."""
    profile = {
        "image": os.environ.get("LIFECYCLE_TEST_IMAGE", "lifecycle:test"),
        "namespace": os.environ.get("LIFECYCLE_TEST_NAMESPACE", "default"),
        "cpu": "100m",
        "memory": "256Mi",
        "shared_memory": "16Mi",
        "volumes": [_volume(store)],
        "environment": {"OMP_NUM_THREADS": "1"} | code_of_this_checkout(store),
        "grace_seconds": 20,
        "lost_node_seconds": 1,
        "pull_seconds": 1,
    } | changes
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    return path


def code_of_this_checkout(store: Path) -> dict[str, str]:
    """The variable by which a real cluster's pods run this checkout and not the image's; `place` has put it on the store."""
    return {"PYTHONPATH": str(store / CODE)} if REAL else {}


def _volume(store: Path) -> dict[str, str]:
    claim, root = os.environ.get("LIFECYCLE_TEST_CLAIM"), os.environ.get("LIFECYCLE_TEST_STORE")
    if REAL and claim and root:
        return {"kind": "pvc", "name": "store", "mount_path": root, "claim": claim}
    return {"kind": "host_path", "name": "store", "mount_path": str(store), "path": str(store)}


def materialize(
    place: Place, job: TrainingJob, instance: dg.DagsterInstance | None = None, log: list[str] | None = None
) -> Outcome:
    """Materialize an asset that launches `job`, to the end; what Dagster logs is added to `log` meanwhile."""
    lines = [] if log is None else log

    @dg.logger(config_schema={})
    def remember(_: Any) -> Any:
        import logging

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage())

        found = logging.Logger("remember", logging.DEBUG)
        found.addHandler(Handler())
        return found

    @dg.asset(io_manager_key="none")
    def trained(context: dg.AssetExecutionContext, launcher: KubernetesLauncher) -> dg.MaterializeResult:
        return dg.MaterializeResult(value=launcher.run(context, job))

    definitions = dg.Definitions(
        assets=[trained],
        jobs=[dg.define_asset_job("train", [trained])],
        resources={"launcher": place.launcher(), "none": dg.mem_io_manager},
        loggers={"remember": remember},
    )
    result = definitions.resolve_job_def("train").execute_in_process(
        instance=instance, raise_on_error=False, run_config={"loggers": {"remember": {}}}
    )
    if result.success:
        event = result.get_asset_materialization_events()[0].step_materialization_data.materialization
        metadata = {name: value.value for name, value in event.metadata.items()}
        return Outcome(True, result.output_for_node("trained"), "", metadata, lines)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    error, told = failures[0].error, failures[0].user_failure_data
    metadata = {name: value.value for name, value in told.metadata.items()} if told else {}
    message = (told.description if told else None) or (error.to_string() if error else "")
    return Outcome(False, None, message or "", metadata, lines)


@dataclass
class Running:
    """A materialization in a thread."""

    thread: threading.Thread
    outcomes: list[Outcome]
    log: list[str]
    """What Dagster has logged so far."""

    def outcome(self) -> Outcome:
        """Its outcome, waited for."""
        self.thread.join(PATIENCE)
        assert self.outcomes, "the materialization has not ended"
        return self.outcomes[0]


def begin(place: Place, job: TrainingJob) -> Running:
    """Start to materialize in a thread, so that the test can break things meanwhile."""
    outcomes: list[Outcome] = []
    log: list[str] = []
    thread = threading.Thread(target=lambda: outcomes.append(materialize(place, job, log=log)), daemon=True)
    thread.start()
    return Running(thread, outcomes, log)


def interrupted(place: Place, job: TrainingJob, when: Callable[[], Any]) -> None:
    """Materialize in the main thread, where Dagster listens for SIGINT, and send that after `when` has returned."""

    def interrupt() -> None:
        when()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert "DagsterExecutionInterruptedError" in materialize(place, job).error


def begin_process(place: Place, job: TrainingJob) -> subprocess.Popen[str]:
    """Start to materialize in a process of its own; it prints what Dagster logs."""
    program = (
        "import sys; from pathlib import Path; from tests.kubernetes.running import Place, Printed, materialize;"
        "from lifecycle.jobs import TrainingJob;"
        "out = materialize(Place(*map(Path, sys.argv[1:4])), TrainingJob.read(sys.argv[4]), log=Printed());"
        "print(out.success, out.error)"
    )
    where = [str(place.profile), str(place.kubeconfig), str(place.store)]
    return subprocess.Popen(
        [sys.executable, "-c", program, *where, str(job.write(place.store / "asked"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Printed(list[str]):
    """Lines that are printed as they come."""

    def append(self, line: str) -> None:
        super().append(line)
        print(line, flush=True)


def release(job: TrainingJob, step: int) -> None:
    """Let a job that is held before `step` do it."""
    (Path(job.run_dir) / f"go_{step}").touch()


def wait_until(what: Callable[[], Any], said: str = "", seconds: float = PATIENCE) -> Any:
    """The first true answer of `what`."""
    until = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < until, f"never came: {said or what}"
        time.sleep(0.05)
    return answer


def steps_done(job: TrainingJob, rank: int = 0) -> list[int]:
    """The steps that a rank has done, in order."""
    path = Path(job.run_dir) / f"done_{rank}"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []
