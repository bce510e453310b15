"""A program that waits after one of its steps until a test lets it go on: what the test does meanwhile cannot be too late.

`HELD` in the environment names the program, the step and the file to wait for, with spaces between.
"""

import importlib
import os
import time
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.training.journal import Journal

VARIABLE = "HELD"


def held(job: TrainingJob, step: int) -> tuple[TrainingJob, dict[str, str], Path]:
    """The job held after `step`, the variables that its process needs, and the file that lets it go on."""
    go = Path(job.run_dir) / f"go_{step}"
    return job.model_copy(update={"program": __name__}), {VARIABLE: f"{job.program} {step} {go}"}, go


def main(job: TrainingJob) -> None:
    """Do what the program does."""
    program, last, go = os.environ[VARIABLE].split(" ", 2)
    write = Journal.metrics

    def metrics(journal: Journal, step: int, **values: float) -> None:
        write(journal, step, **values)
        while step == int(last) and not Path(go).exists():
            time.sleep(0.02)

    Journal.metrics = metrics
    importlib.import_module(program).main(job)
