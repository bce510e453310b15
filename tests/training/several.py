"""The causal program for one job after the other in the same processes: starting them takes longer than a tiny run."""

import json
import sys
from pathlib import Path

from torch import distributed

from lifecycle.jobs import TrainingJob
from lifecycle.training import causal
from lifecycle.training.failures import RESULT

UNUSED = ("mlflow", "peft", "bitsandbytes", "torch._inductor.compile_fx")
"""What a rank without an adapter and without compiled blocks has no use for, and takes seconds to import."""


def together(jobs: list[TrainingJob], home: Path) -> TrainingJob:
    """A job under `home` that does these, which have the same number of processes, in their order."""
    (home / "out").mkdir(parents=True)
    told = {"program": __name__, "config": {"jobs": [str(job.write()) for job in jobs]}}
    return jobs[0].model_copy(update={**told, "output": str(home / "out"), "run_dir": str(home / "run")})


def main(job: TrainingJob) -> None:
    """Train as each of the jobs says; they share the process group."""
    device, end = causal.start(), distributed.destroy_process_group
    causal.start = lambda: device
    distributed.destroy_process_group = lambda: None
    for path in job.config["jobs"]:
        causal.main(TrainingJob.read(path))
    modules = sorted(name for name in UNUSED if sys.modules.get(name))
    (Path(job.run_dir) / RESULT).write_text(json.dumps({"unused": modules}))
    end()
