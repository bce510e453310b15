"""Logs of pods: nothing lost, nothing twice, whatever happens to the connection, to the pod or to the copier."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.launchers.kubernetes.client import Cluster, connect
from resources.launchers.kubernetes.logs import LogCopy
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import wait_until
from tests.patience import PATIENCE

LINES = 60


@pytest.fixture
def cluster(fake_cluster: FakeCluster) -> Cluster:
    return connect("default", str(fake_cluster.kubeconfig), patience=PATIENCE)


def chatty(fake_cluster: FakeCluster, cluster: Cluster, script: str) -> str:
    """A pod that runs a shell script; its name, once it runs."""
    container = {"name": "main", "image": "lifecycle:test", "command": ["sh", "-c", script]}
    spec = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 30}
    metadata = {"name": "chatty", "namespace": "default"}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": spec}}}
    cluster.create_job(body)
    return wait_until(lambda: [p["metadata"]["name"] for p in fake_cluster.pods() if phase(p) != "Pending"], "the pod")[0]


def phase(pod: dict[str, Any]) -> str:
    return pod["status"]["phase"]


def over(fake_cluster: FakeCluster) -> bool:
    return all(phase(pod) in ("Succeeded", "Failed") for pod in fake_cluster.pods())


def text(path: Path) -> list[str]:
    return [line.split(" ", 1)[1] for line in path.read_text().splitlines()]


def test_a_log_cut_again_and_again_is_whole(fake_cluster: FakeCluster, cluster: Cluster, tmp_path: Path) -> None:
    """A dropped stream costs Dagster's own client up to a day; reconnecting without care repeats lines."""
    fake_cluster.faults.cut_logs_every = 0.3
    pod = chatty(fake_cluster, cluster, f"for i in $(seq {LINES}); do echo line $i; sleep 0.03; done; printf 'no end'")
    LogCopy(cluster, pod, tmp_path / "log").run(lambda: over(fake_cluster))
    assert text(tmp_path / "log") == [*(f"line {number}" for number in range(1, LINES + 1)), "no end"]


def test_another_copier_goes_on_after_a_torn_line(fake_cluster: FakeCluster, cluster: Cluster, tmp_path: Path) -> None:
    pod = chatty(fake_cluster, cluster, f"for i in $(seq {LINES}); do echo line $i; sleep 0.03; done")
    path = tmp_path / "log"
    stop = threading.Event()
    first = threading.Thread(target=LogCopy(cluster, pod, path).run, args=(stop.is_set,), daemon=True)
    first.start()
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) > 10, "some lines")
    kept = path.read_bytes()
    torn = tmp_path / "torn"
    torn.write_bytes(kept[: len(kept) - 5])
    LogCopy(cluster, pod, torn).run(lambda: over(fake_cluster))
    assert text(torn) == [f"line {number}" for number in range(1, LINES + 1)]
    stop.set()
    first.join(PATIENCE)


def test_a_deleted_pod_ends_the_copy_with_what_it_said(fake_cluster: FakeCluster, cluster: Cluster, tmp_path: Path) -> None:
    pod = chatty(fake_cluster, cluster, "trap 'echo saved; exit 0' TERM; echo begun; while :; do sleep 0.05; done")
    copy = threading.Thread(target=LogCopy(cluster, pod, tmp_path / "log").run, args=(lambda: False,), daemon=True)
    copy.start()
    wait_until(lambda: (tmp_path / "log").exists() and "begun" in (tmp_path / "log").read_text(), "the first line")
    job = fake_cluster.jobs()[0]["metadata"]
    cluster.delete_job(job["name"], job["uid"])
    copy.join(PATIENCE)
    assert text(tmp_path / "log") == ["begun", "saved"]


class Replay:
    """A log that is served in pieces, with connections that end anywhere."""

    def __init__(self, lines: list[bytes], cuts: list[int]) -> None:
        self.whole, self.cuts = b"".join(lines), list(cuts)

    def log(self, pod: str, since_seconds: int | None, follow: bool) -> Iterator[bytes]:
        if follow and self.cuts:
            yield self.whole[: self.cuts.pop(0)]
            raise OSError("cut")
        yield self.whole


@given(
    stamps=st.lists(st.integers(0, 30), min_size=1, max_size=25).map(sorted),
    cuts=st.lists(st.integers(0, 900), max_size=4),
)
def test_lines_with_one_time_are_all_kept_wherever_the_connection_ends(
    stamps: list[int], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [f"2026-11-21T01:19:31.{stamp:09d}Z line {n}\n".encode() for n, stamp in enumerate(stamps)]
    path = tmp_path_factory.mktemp("log") / "log"
    served: Any = Replay(lines, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: None)
        LogCopy(served, "pod", path).run(lambda: not served.cuts)
    assert path.read_bytes() == b"".join(lines)
