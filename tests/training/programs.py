"""Small programs that stand where a training program stands, to see what the launcher makes of their ends."""

import json
import os
import signal
import time
from pathlib import Path

from lifecycle.errors import DataError
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import Preempted
from lifecycle.training.journal import Journal


def main(job: TrainingJob) -> None:
    """Do what `config.act` says."""
    rank = int(os.environ["RANK"])
    (Path(job.run_dir) / f"pid_{rank}").write_text(str(os.getpid()))
    ACTS[job.config["act"]](job, rank)


def succeed(job: TrainingJob, rank: int) -> None:
    if rank == 0:
        journal = Journal(Path(job.run_dir))
        journal.message("half way")
        journal.metrics(2, loss=1.5)
        (Path(job.run_dir) / "result.json").write_text(json.dumps({"threads": os.environ["OMP_NUM_THREADS"]}))


def lose_a_peer(job: TrainingJob, rank: int) -> None:
    """Rank 1 has bad data; rank 0 only notices that rank 1 is gone, and reports it sooner than rank 1 does."""
    if rank == 0:
        raise RuntimeError("[gloo] Connection closed by peer")
    time.sleep(0.3)
    raise DataError("documents 7, 8 are empty")


def hang_beside_a_kill(job: TrainingJob, rank: int) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def end_silently(job: TrainingJob, rank: int) -> None:
    pass


def wait_for_stop(job: TrainingJob, rank: int) -> None:
    """Save something when asked to stop, as a training saves its checkpoint."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    (Path(job.run_dir) / f"ready_{rank}").touch()
    while not asked:
        time.sleep(0.02)
    time.sleep(0.3)
    (Path(job.run_dir) / f"saved_{rank}").touch()
    raise Preempted("saved")


def meet(job: TrainingJob, rank: int) -> None:
    """What every training does first."""
    from torch import distributed

    distributed.init_process_group("gloo")
    distributed.barrier()
    distributed.destroy_process_group()
    if rank == 0:
        (Path(job.run_dir) / "result.json").write_text("{}")


ACTS = {act.__name__: act for act in (meet, succeed, lose_a_peer, hang_beside_a_kill, end_silently, wait_for_stop)}
