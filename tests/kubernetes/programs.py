"""A program of a few seconds that trains nothing, but can be stopped, resumed and checked like one that does."""

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
    ACTS[job.config["act"]](job, int(os.environ["RANK"]))


def count(job: TrainingJob, rank: int) -> None:
    """`config.steps` steps of `config.pause` seconds; every one is done once, whatever interrupts the program between two.

    The step is the checkpoint: `<run_dir>/done_<rank>` has a line for each. Rank 0 waits for the others' last step. A
    step in `config.hold` is not done before `<run_dir>/go_<step>` exists, so that a test has the time that it needs.
    """
    run_dir, total = Path(job.run_dir), job.config["steps"]
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    done = run_dir / f"done_{rank}"
    first = len(done.read_text().splitlines()) if done.exists() else 0
    journal = Journal(run_dir) if rank == 0 else None
    if journal:
        journal.resume(first)
        if first:
            journal.message(f"continuing after step {first} of {total}")
    for step in range(first, total):
        if asked:
            raise Preempted(f"saved step {step}")
        time.sleep(job.config["pause"])
        while step in job.config.get("hold", ()) and not (run_dir / f"go_{step}").exists():
            if asked:
                raise Preempted(f"saved step {step}")
            time.sleep(0.02)
        with done.open("a") as file:
            file.write(f"{step}\n")
        if journal:
            journal.metrics(step + 1, loss=1.0 / (step + 1))
            journal.message(f"finished step {step + 1}")
        print(f"rank {rank} step {step + 1}", flush=True)
    if rank == 0:
        while any(len(_lines(run_dir / f"done_{other}")) < total for other in range(job.processes)):
            if asked:
                raise Preempted("saved all steps")
            time.sleep(0.05)
        steps = {other: _lines(run_dir / f"done_{other}") for other in range(job.processes)}
        (Path(job.output) / "model.json").write_text(json.dumps(steps))
        temporary = run_dir / "result.tmp"
        temporary.write_text(json.dumps({"steps": total}))
        os.replace(temporary, run_dir / "result.json")


def fail(job: TrainingJob, rank: int) -> None:
    """Rank 1 has bad data; rank 0 would wait for it."""
    if rank == 1:
        for number in range(60):
            print(f"line {number}", flush=True)
        raise DataError("documents 7, 8 are empty")
    time.sleep(3600)


def need_memory(job: TrainingJob, rank: int) -> None:
    """As `count`, where rank 1 has room for micro-batches of `config.room` sequences."""
    size = job.config["training"]["micro_batch"]
    if rank == 1 and size > job.config["room"]:
        raise MemoryError(f"{size} sequences need more than there is")
    count(job, rank)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


ACTS = {"count": count, "fail": fail, "need_memory": need_memory}
