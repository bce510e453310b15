"""ZeRO 1, 2 and 3: each trains, resumes and exports with two processes, and a run may change processes and stage midway."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lifecycle.jobs import TrainingJob
from lifecycle.training.checkpoints import Checkpoints, Layout
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.journal import FILE, follow, read_metrics
from lifecycle.training.restore import load
from tests.patience import PATIENCE
from tests.training import tiny
from tests.training.several import together

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


def run(jobs: list[TrainingJob], home: Path) -> None:
    process = tiny.launch(together(jobs, home))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert json.loads((home / "run" / "result.json").read_text()) == {"unused": []}, "a rank starts with what it uses"


def go_on_from(home: Path, source: Path, step: int, inputs: dict[str, Path], **settings: Any) -> TrainingJob:
    """A job in a copy of another one's run directory, as it was after `step` steps."""
    shutil.copytree(source / "run", home / "run")
    (home / "copied").write_text(str((home / "run" / FILE).stat().st_size))
    checkpoints = Checkpoints(home / "run", 5)
    for later in (name for name in checkpoints.steps() if name > step):
        shutil.rmtree(checkpoints.path(f"step_{later}"))
    return tiny.make_job(home, inputs, **SETTINGS | settings)


def losses(home: Path) -> list[float]:
    return [entry["loss"] for entry in read_metrics(home / "run")]


def said(home: Path) -> str:
    """What a run that went on said since."""
    entries, _ = follow(home / "run" / FILE, int((home / "copied").read_text()))
    return "\n".join(entry["text"] for entry in entries if entry["kind"] == "message")


@pytest.fixture(scope="module")
def inputs(memmap: Path, tokenizer: Path) -> dict[str, Path]:
    return {"memmap": memmap, "tokenizer": tokenizer}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> dict[int, Path]:
    """The same run of two processes under each ZeRO stage."""
    homes = {stage: tmp_path_factory.mktemp(f"zero_{stage}") for stage in (1, 2, 3)}
    jobs = [tiny.make_job(home, inputs, processes=2, zero_stage=stage, **SETTINGS) for stage, home in homes.items()]
    run(jobs, tmp_path_factory.mktemp("trained") / "all")
    return homes


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, trained: dict[int, Path], inputs: dict[str, Path]) -> dict[int, Path]:
    """Runs of two processes that went on after two thirds, in other processes, under ZeRO 1 and 3."""
    homes = {stage: tmp_path_factory.mktemp(f"resumed_{stage}") for stage in (1, 3)}
    jobs = [
        go_on_from(home, trained[stage], 2 * EVERY, inputs, processes=2, zero_stage=stage) for stage, home in homes.items()
    ]
    run(jobs, tmp_path_factory.mktemp("resumed") / "all")
    return homes


CHANGES = ((1, 2, 3), (3, 3, 1))
"""ZeRO stages of a run that begins with two processes, goes on with one, and then with two again."""


@pytest.fixture(scope="module")
def changed(
    tmp_path_factory: pytest.TempPathFactory, trained: dict[int, Path], inputs: dict[str, Path]
) -> dict[tuple[int, int, int], tuple[Path, Path]]:
    """Where one process went on, and where two did."""
    homes = {stages: (tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("again")) for stages in CHANGES}
    jobs = [
        go_on_from(alone, trained[first], EVERY, inputs, processes=1, zero_stage=second)
        for (first, second, _), (alone, _) in homes.items()
    ]
    run(jobs, tmp_path_factory.mktemp("changed") / "alone")
    jobs = [
        go_on_from(again, alone, 2 * EVERY, inputs, processes=2, zero_stage=third)
        for (_, _, third), (alone, again) in homes.items()
    ]
    run(jobs, tmp_path_factory.mktemp("changed") / "again")
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
def test_two_processes_resume_bit_for_bit(trained: dict[int, Path], resumed: dict[int, Path], stage: int) -> None:
    assert f"continuing after step {2 * EVERY} of {STEPS}" in said(resumed[stage])
    assert losses(resumed[stage]) == losses(trained[stage])


@pytest.mark.parametrize("stages", CHANGES)
def test_processes_and_stage_may_change_midway(
    trained: dict[int, Path],
    changed: dict[tuple[int, int, int], tuple[Path, Path]],
    stages: tuple[int, int, int],
) -> None:
    """Two processes, then one, then two: equal sample order, equal losses within the tolerance."""
    expected = losses(trained[stages[0]])
    for home in changed[stages]:
        assert "converted" in said(home)
        assert losses(home) == pytest.approx(expected, rel=TOLERANCE)
        assert not (home / "run" / "checkpoints" / ".universal").exists()


@pytest.mark.parametrize(("found", "wanted"), [(0, 1), (3, 0)])
def test_without_zero_and_with_it_do_not_mix(tmp_path: Path, found: int, wanted: int) -> None:
    layouts = (Layout(processes=1, zero_stage=stage) for stage in (found, wanted))
    with pytest.raises(ConfigurationError, match=f"zero_stage is {found} there and {wanted} in this job"):
        load(None, tmp_path, *layouts)
