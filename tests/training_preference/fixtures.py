"""Preference pairs and jobs for the preference program."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from lifecycle.instructions.conversations import Message
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.table import Pair, write_pairs

CONFIG = {
    "global_batch": 8,
    "micro_batch": 4,
    "learning_rate": 1e-3,
    "epochs": 6.0,
    "checkpoint_every": 4,
    "max_length": 128,
}


def pairs_directory(directory: Path, train: int = 40, heldout: int = 12) -> Path:
    """Pairs that a model can learn: chosen and rejected come from two vocabularies."""
    draw = random.Random(0)

    def pair(number: int) -> Pair:
        return Pair(
            id=f"pair{number}",
            prompt=(Message(role="user", content=f"What does function {draw.randrange(10**6)} return?"),),
            chosen="Return the path " * draw.randint(1, 3),
            rejected="argument not a " * draw.randint(1, 3),
            source="test",
            task="returns",
        )

    directory.mkdir(parents=True, exist_ok=True)
    write_pairs(directory / "train.parquet", [pair(i) for i in range(train)])
    write_pairs(directory / "heldout.parquet", [pair(1000 + i) for i in range(heldout)])
    return directory


def job(root: Path, model: Path, pairs: Path, **changes: object) -> TrainingJob:
    """A DPO job in `root`; `changes` go into its DpoConfig."""
    return TrainingJob(
        stage="dpo_model",
        fingerprint="0" * 32,
        program="lifecycle.training.preference",
        config={"dpo": {**CONFIG, **changes}},
        inputs={"model": str(model), "pairs": str(pairs)},
        output=str(root / "out"),
        run_dir=str(root / "run"),
    )


def start(which: TrainingJob) -> subprocess.Popen:
    """Run the job's program as one rank, without the launcher, so that a test can kill exactly it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        environment.pop(name, None)
    log = Path(which.run_dir) / "log.txt"
    path = which.write()
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "lifecycle.training.rank", which.program, str(path)],
            env=environment,
            stdout=file,
            stderr=file,
        )


def run(which: TrainingJob) -> int:
    """Run the job to its end; the exit code."""
    return start(which).wait(timeout=120)


def result(which: TrainingJob) -> dict:
    return json.loads((Path(which.run_dir) / "result.json").read_text())
