"""Preference pairs and jobs for the preference program."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from lifecycle.instructions.conversations import Message
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.table import Labelled, Pair, read_pairs, write_labels, write_pairs
from tests.evaluation.fixtures import heldout_directory
from tests.patience import PATIENCE

CONFIG = {
    "global_batch": 8,
    "micro_batch": 4,
    "learning_rate": 1e-3,
    "epochs": 6.0,
    "checkpoint_every": 4,
    "max_length": 128,
}


REFERENCE = {"model": "0" * 64, "data": "1" * 64}


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
    """A DPO job in `root`; `changes` go into its DpoConfig. Jobs in sibling directories share their reference's numbers."""
    return TrainingJob(
        stage="dpo_model",
        fingerprint="0" * 32,
        program="lifecycle.training.preference",
        config={"dpo": {**CONFIG, **changes}, "reference": REFERENCE | {"results": str(model.parent / "results")}},
        inputs={"model": str(model), "pairs": str(pairs)},
        output=str(root / "out"),
        run_dir=str(root / "run"),
    )


def labels_directory(directory: Path, count: int = 40) -> Path:
    """A `raw_preferences` artifact's labelled answers, of the vocabularies of `pairs_directory`; three of five wanted.

    One prompt is that of a held-out pair.
    """
    draw, directory_of_pairs = random.Random(1), directory / "pairs"
    measured_by = read_pairs(pairs_directory(directory_of_pairs) / "heldout.parquet")[0].prompt

    def label(number: int) -> Labelled:
        wanted = number % 5 < 3
        asked = (Message(role="user", content=f"What does function {draw.randrange(10**6)} return?"),)
        answer = ("Return the path " if wanted else "argument not a ") * draw.randint(1, 3)
        prompt = asked if number else measured_by
        return Labelled(id=f"label{number}", prompt=prompt, answer=answer, wanted=wanted, source="test", task="returns")

    write_labels(directory / "labels.parquet", [label(number) for number in range(count)])
    return directory


def kto_job(root: Path, model: Path, labels: Path, **changes: object) -> TrainingJob:
    """A KTO job in `root` on `labels_directory`; `changes` go into its KtoConfig."""
    config = {**CONFIG, "micro_batch": 8, **changes}
    inputs = {
        "preferences": str(labels),
        "pairs": str(labels / "pairs"),
        "heldout": str(heldout_directory(root / "heldout")),
    }
    which = job(root, model, labels / "pairs")
    return which.model_copy(
        update={
            "stage": "kto_model",
            "program": "lifecycle.training.kto",
            "config": {"kto": config, "reference": which.config["reference"]},
            "inputs": {"model": str(model)} | inputs,
        }
    )


def reward_job(root: Path, model: Path, pairs: Path, **changes: object) -> TrainingJob:
    """A reward model's job in `root`; `changes` go into its RewardModelConfig."""
    which = job(root, model, pairs)
    settings = {"reward_model": {**CONFIG, **changes}}
    program = "lifecycle.training.reward"
    return which.model_copy(update={"stage": "reward_model", "program": program, "config": settings})


def start(which: TrainingJob, **variables: str) -> subprocess.Popen:
    """Run the job's program as one rank, without the launcher, so that a test can kill exactly it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu", **variables}
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
    return start(which).wait(timeout=PATIENCE)


def result(which: TrainingJob) -> dict:
    return json.loads((Path(which.run_dir) / "result.json").read_text())
