"""Validation, the best checkpoint, early stopping: what decides the exported model survives interruptions."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from lifecycle.pretrained import load_model
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import PackedDocuments
from lifecycle.training.checkpoints import Checkpoints, Layout, Progress, read_manifest
from lifecycle.training.exits import ExitClass
from lifecycle.training.journal import read_metrics
from tests.patience import PATIENCE
from tests.training import tiny

LAYOUT = Layout(processes=1, zero_stage=1)
STEPS = 40
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "checkpoint_every": 6,
    "precision": "fp32",
    "log_every": 5,
    "zero_stage": 3,
    "optimization": {"learning_rate": 3e-2, "warmup_steps": 0, "schedule": "constant", "weight_decay": 0.0},
    "validation": {"every": 2, "sequences": 7, "patience": 3, "choose": "best"},
}
"""Three documents are learnt by heart at a high rate, so that held-out text soon gets worse."""


def run(job: Any) -> str:
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> dict[str, Path]:
    few = tiny.make_memmap(tmp_path_factory.mktemp("few"), tokenizer, documents=12)
    tiny.make_memmap(few / "validation", tokenizer, documents=60, seed=8)
    return {"memmap": few, "tokenizer": tokenizer}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("stopped")
    return home, run(tiny.make_job(home, inputs, **SETTINGS))


def validations(home: Path) -> dict[int, float]:
    found = [entry for entry in read_metrics(home / "run") if "validation_bits_per_byte" in entry]
    return {entry["step"]: entry["validation_bits_per_byte"] for entry in found}


def test_it_stops_early_and_keeps_the_best(stopped: tuple[Path, str]) -> None:
    home, output = stopped
    measured = validations(home)
    best, last = min(measured, key=lambda step: measured[step]), max(measured)
    assert best < last < STEPS
    assert last == best + 3 * 2, "three validations without a new best"
    assert f"early stopping after step {last}" in output
    checkpoints = Checkpoints(home / "run", 2)
    assert checkpoints.steps("best") == [best]
    assert checkpoints.steps()[-1] == last
    assert len(checkpoints.steps()) == 2
    assert read_manifest(checkpoints.path("final")).progress.step == best


def test_the_exported_model_has_the_best_bits_per_byte(stopped: tuple[Path, str], inputs: dict[str, Path]) -> None:
    """The oracle: plain forward passes over the held-out documents, bytes counted by the tokenizer."""
    home, _ = stopped
    model: Any = load_model(home / "out")
    data = PackedDocuments(TokenMemmap(inputs["memmap"] / "validation"), 64, "pretrain")
    tokenizer: Any = AutoTokenizer.from_pretrained(str(inputs["tokenizer"]), local_files_only=True)
    nats, size = 0.0, 0
    batch = data.batch(np.arange(7) * data.sequences // 7)  # spread over all of the text
    for row in range(7):
        for segment in range(int(batch.segments[row].max()) + 1):
            ids = batch.ids[row][batch.segments[row] == segment]
            with torch.no_grad():
                logits = model(ids.unsqueeze(0)).logits[0, :-1]
            nats += float(functional.cross_entropy(logits, ids[1:], reduction="sum")) if len(ids) > 1 else 0.0
        size += len(tokenizer.decode(batch.labels[row][batch.weights[row] > 0].tolist(), skip_special_tokens=True).encode())
    assert nats / np.log(2) / size == pytest.approx(min(validations(home).values()), rel=1e-4)


def test_an_interruption_changes_neither_the_best_nor_the_end(
    stopped: tuple[Path, str], inputs: dict[str, Path], tmp_path: Path
) -> None:
    """How many validations were without a new best is part of a checkpoint."""
    home, _ = stopped
    shutil.copytree(home / "run", tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run", 2)
    for name in (f"step_{checkpoints.steps()[-1]}", "final"):
        shutil.rmtree(checkpoints.path(name))
    run(tiny.make_job(tmp_path, inputs, **SETTINGS))
    assert validations(tmp_path) == validations(home)
    for path in (home / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def test_validation_without_held_out_text_is_refused(tmp_path: Path, memmap: Path, tokenizer: Path) -> None:
    job = tiny.make_job(tmp_path, {"memmap": memmap, "tokenizer": tokenizer}, **SETTINGS)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.CONFIGURATION.code
    assert "training.validation" in output
    assert "does not exist; give the job an input `validation`" in output


def commit(checkpoints: Checkpoints, step: int, *names: str) -> None:
    checkpoints.prepare(step)
    (checkpoints.temporary(step) / "weights").write_bytes(str(step).encode())
    checkpoints.commit(Progress(step=step), {}, LAYOUT, names)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    commit(checkpoints, 1, "step_1", "best_1")
    commit(checkpoints, 2, "step_2")
    assert (checkpoints.steps(), checkpoints.steps("best")) == ([2], [1])
    commit(checkpoints, 3, "best_3")
    assert (checkpoints.steps(), checkpoints.steps("best")) == ([2], [3])
    assert checkpoints.newest({})[0] == "step_3"
    assert checkpoints.steps() == [2, 3], "the end of the run looks for `step_3`"


def test_when_the_newest_are_damaged_the_best_still_serves(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    commit(checkpoints, 1, "best_1")
    commit(checkpoints, 2, "step_2")
    (checkpoints.path("step_2") / "weights").write_bytes(b"x")
    name, manifest, said = checkpoints.newest({})
    assert (name, manifest and manifest.progress.step, len(said)) == ("step_1", 1, 1)
    assert (tmp_path / "checkpoints" / "damaged-step_2").is_dir()
    assert read_manifest(checkpoints.path("step_1")).progress.step == 1


def test_one_that_is_written_again_replaces_the_old_one_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    commit(checkpoints, 2, "step_2")
    commit(checkpoints, 2, "step_2", "best_2")
    assert {path.name for path in checkpoints.root.iterdir()} == {"step_2", "best_2"}
    read_manifest(checkpoints.path("best_2"))
