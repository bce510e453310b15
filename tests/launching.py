"""Runs a job's program here and now, as a launcher would: one fresh process, its result.json read back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lifecycle.jobs import TrainingJob
from tests.patience import PATIENCE


def launch(job: TrainingJob) -> dict[str, Any]:
    """The facts that the program wrote; fails the test with the end of its output when it ended badly."""
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle.training.launch", str(job.write())],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((Path(job.run_dir) / "result.json").read_text(encoding="utf-8"))
