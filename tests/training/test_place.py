"""Where each rank of a job of several nodes runs, and what the nodes leave in the directory that they share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ConfigurationError, ExitClass
from lifecycle.training.failures import Failure
from lifecycle.training.place import find_place, folder
from tests.patience import PATIENCE
from tests.ports import free_port


def job_of(run_dir: Path, processes: int, nodes: int, act: str = "succeed") -> TrainingJob:
    return TrainingJob(
        stage="test",
        fingerprint="f",
        program="tests.training.programs",
        config={"act": act},
        inputs={},
        output=str(run_dir / "out"),
        run_dir=str(run_dir),
        processes=processes,
        nodes=nodes,
    )


@given(nodes=st.integers(1, 8), each=st.integers(1, 8))
def test_every_rank_runs_on_exactly_one_node(nodes: int, each: int) -> None:
    job = job_of(Path("run"), nodes * each, nodes)
    ranks: list[int] = []
    for node in range(nodes):
        told = {"JOB_COMPLETION_INDEX": str(node), "MASTER_ADDR": "a", "MASTER_PORT": "1"}
        ranks += find_place(job, told).ranks
    assert ranks == list(range(nodes * each))


def test_ranks_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 processes cannot be shared evenly by 2 nodes"):
        job_of(Path("run"), 3, 2)


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"JOB_COMPLETION_INDEX": "0"}, "MASTER_ADDR, MASTER_PORT"),
        ({"JOB_COMPLETION_INDEX": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "is 2, but the job has 2 nodes"),
    ],
)
def test_a_node_that_does_not_know_its_place_says_what_is_missing(told: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        find_place(job_of(Path("run"), 2, 2), told)


def start(job: TrainingJob, node: int, port: int) -> subprocess.Popen[str]:
    told = {"JOB_COMPLETION_INDEX": str(node), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-m", "lifecycle.training.launch", str(Path(job.run_dir) / "job.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **told, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )


def test_two_nodes_meet_and_share_one_run_directory(tmp_path: Path) -> None:
    """A lock, a `job.json` or a clean-up meant for one launcher made the second node wait for ever, or robbed the first."""
    job = job_of(tmp_path, 2, 2, "meet")
    job.write()
    port = free_port()
    nodes = [start(job, node, port) for node in range(2)]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], outputs
    assert (tmp_path / "result.json").exists()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["rank_0.log", "rank_1.log"]


def test_each_node_leaves_its_own_verdict(tmp_path: Path) -> None:
    """Rank 1 has bad data, rank 0 only loses it; the two verdicts and their times tell which came first."""
    job = job_of(tmp_path, 2, 2, "lose_a_peer")
    job.write()
    nodes = [start(job, node, free_port()) for node in range(2)]
    for process in nodes:
        process.communicate(timeout=PATIENCE)
    assert [process.returncode for process in nodes] == [ExitClass.NETWORK.code, ExitClass.DATA.code]
    verdicts = [Failure.read(folder(tmp_path, node)) for node in range(2)]
    assert [(each.exit_class, each.rank) for each in verdicts if each] == [("network", 0), ("data", 1)]
    assert all(json.loads((tmp_path / "errors" / f"rank_{n}.json").read_text())["time"] for n in range(2))
