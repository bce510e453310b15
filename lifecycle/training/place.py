"""Which of a job's ranks run on this machine, and where all of them meet."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ConfigurationError

NODES = "nodes"


@dataclass(frozen=True)
class Place:
    """One machine's part of a job. `address` and `port` are those of rank 0; None where this machine chooses them."""

    node: int
    nodes: int
    world: int
    address: str | None = None
    port: int | None = None

    @property
    def ranks(self) -> range:
        """The ranks that this machine runs."""
        here = self.world // self.nodes
        return range(self.node * here, (self.node + 1) * here)

    def folder(self, run_dir: Path) -> Path:
        """Where this machine's launcher keeps its lock and its verdict: the run directory is shared by all machines."""
        return folder(run_dir, self.node)


def folder(run_dir: Path, node: int) -> Path:
    """The run directory itself for node 0, `<run_dir>/nodes/<node>` for every other."""
    return run_dir if node == 0 else run_dir / NODES / str(node)


def find_place(job: TrainingJob, environment: Mapping[str, str] = os.environ) -> Place:
    """This machine's place in `job`.

    A job of several nodes is told its node by JOB_COMPLETION_INDEX, as Kubernetes sets it in the pods of an Indexed Job,
    and where rank 0 is by MASTER_ADDR and MASTER_PORT.

    Raises:
        ConfigurationError: one of these is missing or out of range.
    """
    if job.nodes == 1:
        return Place(0, 1, job.processes)
    missing = [name for name in ("JOB_COMPLETION_INDEX", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise ConfigurationError(f"a job of {job.nodes} nodes needs {', '.join(missing)} in its environment")
    node = int(environment["JOB_COMPLETION_INDEX"])
    if not 0 <= node < job.nodes:
        raise ConfigurationError(f"JOB_COMPLETION_INDEX is {node}, but the job has {job.nodes} nodes")
    return Place(node, job.nodes, job.processes, environment["MASTER_ADDR"], int(environment["MASTER_PORT"]))
