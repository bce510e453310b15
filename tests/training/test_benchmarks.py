"""The benchmark that only a GPU can run must not be found broken on the day when there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "train_gpu.py"


def test_the_gpu_benchmark_runs_with_a_tiny_model(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--tiny", "--quick", "--json", str(out)]
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert [row["work"] for row in rows] == ["sequence 64"]
    assert all(row["ours"] > 0 and row["peer"] > 0 and row["ratio"] > 0 for row in rows)
    assert all("ours_mfu" not in row for row in rows), "the peak of this CPU is not known"
    assert "attention: sdpa" in rows[0]["said"]
    assert "6·N" in done.stdout
