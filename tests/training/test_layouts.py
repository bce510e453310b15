"""ZeRO 1, 2 and 3: each trains, resumes and exports with two processes, and a run may change processes and stage midway."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lifecycle.jobs import TrainingJob
from lifecycle.training.checkpoints import Checkpoints, Layout
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.journal import read_metrics
from lifecycle.training.restore import load
from tests.patience import PATIENCE
from tests.training import tiny

STEPS, EVERY = 9, 3
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "checkpoint_every": EVERY,
    "keep_checkpoints": 5,
    "global_batch": 4,
    "micro_batch": 1,
    "precision": "fp32",
    "optimization": {"learning_rate": 1e-2, "warmup_steps": 2, "weight_decay": 0.5},
}
TOLERANCE = 1e-5
"""Relative, in fp32: ranks add up gradients in another order. Weights and moments are carried over exactly."""


def run(job: TrainingJob, expected: int = 0) -> str:
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == expected, output
    return output


def go_on_from(home: Path, source: Path, step: int, inputs: dict[str, Path], **settings: Any) -> TrainingJob:
    """A job in a copy of another one's run directory, as it was after `step` steps."""
    shutil.copytree(source / "run", home / "run")
    checkpoints = Checkpoints(home / "run", 5)
    for later in (name for name in checkpoints.steps() if name > step):
        shutil.rmtree(checkpoints.path(f"step_{later}"))
    return tiny.make_job(home, inputs, **SETTINGS | settings)


def losses(home: Path) -> list[float]:
    return [entry["loss"] for entry in read_metrics(home / "run")]


@pytest.fixture(scope="module")
def inputs(memmap: Path, tokenizer: Path) -> dict[str, Path]:
    return {"memmap": memmap, "tokenizer": tokenizer}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> dict[int, Path]:
    """The same run of two processes under each ZeRO stage."""
    homes = {stage: tmp_path_factory.mktemp(f"zero_{stage}") for stage in (1, 2, 3)}
    for stage, home in homes.items():
        run(tiny.make_job(home, inputs, processes=2, zero_stage=stage, **SETTINGS))
    return homes


def test_all_stages_train_and_export_the_same_model(trained: dict[int, Path]) -> None:
    """Under ZeRO-3 each rank holds parts only; an export that forgot to gather them once was a folder of empty tensors."""
    ids = (torch.arange(24) + 40).unsqueeze(0)
    logits = []
    for stage, home in trained.items():
        assert losses(home) == pytest.approx(losses(trained[1]), rel=TOLERANCE), stage
        assert list((home / "out").glob("*.safetensors"))
        model: Any = AutoModelForCausalLM.from_pretrained(str(home / "out"), local_files_only=True)
        with torch.no_grad():
            logits.append(model(ids).logits.float())
    assert losses(trained[1])[-1] < losses(trained[1])[0]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stage", [1, 3])
def test_two_processes_resume_bit_for_bit(
    trained: dict[int, Path], inputs: dict[str, Path], tmp_path: Path, stage: int
) -> None:
    job = go_on_from(tmp_path, trained[stage], 2 * EVERY, inputs, processes=2, zero_stage=stage)
    assert f"continuing after step {2 * EVERY} of {STEPS}" in run(job)
    assert losses(tmp_path) == losses(trained[stage])


@pytest.mark.parametrize(("stages"), [(1, 2, 3), (3, 3, 1)])
def test_processes_and_stage_may_change_midway(
    trained: dict[int, Path], inputs: dict[str, Path], tmp_path: Path, stages: tuple[int, int, int]
) -> None:
    """Two processes, then one, then two: equal sample order, equal losses within the tolerance."""
    first, second, third = stages
    alone, again = tmp_path / "alone", tmp_path / "again"
    output = run(go_on_from(alone, trained[first], EVERY, inputs, processes=1, zero_stage=second))
    assert "converted" in output
    assert losses(alone) == pytest.approx(losses(trained[first]), rel=TOLERANCE)
    output = run(go_on_from(again, alone, 2 * EVERY, inputs, processes=2, zero_stage=third))
    assert "converted" in output
    assert losses(again) == pytest.approx(losses(trained[first]), rel=TOLERANCE)
    assert not (again / "run" / "checkpoints" / ".universal").exists()


@pytest.mark.parametrize(("found", "wanted"), [(0, 1), (3, 0)])
def test_without_zero_and_with_it_do_not_mix(tmp_path: Path, found: int, wanted: int) -> None:
    layouts = (Layout(processes=1, zero_stage=stage) for stage in (found, wanted))
    with pytest.raises(ConfigurationError, match=f"zero_stage is {found} there and {wanted} in this job"):
        load(None, tmp_path, *layouts)
