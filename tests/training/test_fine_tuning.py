"""One run of the program with everything at once: tasks, CoBa, phases, text in the batches, validation per task."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from lifecycle.jobs import TrainingJob
from lifecycle.stages import stages_of
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.checkpoints import Checkpoints, read_manifest
from lifecycle.training.config import read_config
from lifecycle.training.data import arrange
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.journal import FILE, follow, read_metrics
from lifecycle.training.model import build_model
from lifecycle.training.validation import open_tasks
from tests.patience import PATIENCE
from tests.tracking.chain import small_recipe
from tests.training import tiny

TASKS = ("by one", "by two", "三")
SETTINGS: dict[str, Any] = {
    "steps": 12,
    "precision": "fp32",
    "zero_stage": 2,
    "micro_batch": 4,
    "checkpoint_every": 5,
    "validation": {"every": 4, "sequences": 5},
}
TUNING: dict[str, Any] = {
    "balance": {"per": "task_sample", "coba": {"warmup": 3, "every": 1, "history": 6, "conversations": 4}},
    "phases": {"into": 2},
    "pretraining": {"share": 0.25, "weight": 0.5},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path, memmap: Path) -> dict[str, Path]:
    conversations = tiny.make_memmap(tmp_path_factory.mktemp("tasks"), tokenizer, masked=True, tasks=TASKS)
    tiny.make_memmap(conversations / "validation", tokenizer, documents=40, masked=True, tasks=TASKS, seed=8)
    return {"memmap": conversations, "tokenizer": tokenizer, "text": memmap}


def make_job(home: Path, inputs: dict[str, Path], **settings: Any) -> TrainingJob:
    job = tiny.make_job(home, inputs, kind="sft", **(SETTINGS | settings))
    return job.model_copy(update={"config": job.config | {"fine_tuning": TUNING}})


def run(job: TrainingJob) -> str:
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("finished")
    return home, run(make_job(home, inputs))


def test_the_first_loss_is_the_formula_over_documents_alone(finished: tuple[Path, str], inputs: dict[str, Path]) -> None:
    """The oracle: MFTCoder's case 4 over plain forward passes, with the text as one more task of weight 1/2."""
    home, _ = finished
    own, text = TokenMemmap(inputs["memmap"]), TokenMemmap(inputs["text"])
    opened = arrange(read_config(make_job(home, inputs)), own, text)
    batch = opened.sequences.batch(opened.order.global_step(0))
    assert batch.tasks is not None
    model: Any = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, inputs["tokenizer"])
    means: dict[int, list[float]] = {}
    for row in range(4):
        for segment in range(int(batch.segments[row].max()) + 1):
            inside = batch.segments[row] == segment
            ids, weights = batch.ids[row][inside], batch.weights[row][inside][:-1].double()
            with torch.no_grad():
                losses = functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none").double()
            if weights.sum() > 0:
                mean = float((losses * (weights > 0)).sum() / (weights > 0).sum())
                means.setdefault(int(batch.tasks[row][inside][0]), []).append(mean)
    assert len(means) == 4, "the test needs all tasks in the batch"
    counted = {task: 0.5 if task == 3 else 1.0 for task in means}
    expected = sum(counted[task] * np.mean(some) for task, some in means.items()) / sum(counted.values())
    assert read_metrics(home / "run")[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_tasks_are_measured_reported_and_drawn(finished: tuple[Path, str]) -> None:
    home, output = finished
    metrics = read_metrics(home / "run")
    assert all(metrics[0][f"task_weight/{name}"] == pytest.approx(1 / 3) for name in TASKS), "warm-up"
    weights = [metrics[-1][f"task_weight/{name}"] for name in TASKS]
    assert sum(weights) == pytest.approx(1)
    assert max(weights) > 0.34
    validated = [entry["step"] for entry in metrics if f"validation_loss/task/{TASKS[0]}" in entry]
    assert validated == [4, 8, 12]
    assert {"task_weights.png", "task_loss.png", "validation_loss_per_task.png"} <= {
        path.name for path in (home / "run" / "plots").iterdir()
    }
    for words in (
        "tasks: by one 40, by two 40, 三 40; each task a mean of its own, weights from CoBa",
        "phases: 1: 60 conversations",
        "pretraining text: 1 of 4 sequences in each batch, weight 0.5 per task_sample",
        "packing: ",
    ):
        assert words in output


def test_an_interruption_changes_neither_losses_nor_weights(
    finished: tuple[Path, str], inputs: dict[str, Path], tmp_path: Path
) -> None:
    """CoBa's history is part of the checkpoint; phases and mixed batches are functions of the step."""
    home, _ = finished
    shutil.copytree(home / "run", tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run", 2)
    for name in ("step_12", "best_12", "final"):
        shutil.rmtree(checkpoints.path(name))
    run(make_job(tmp_path, inputs))
    said = [entry for entry in follow(tmp_path / "run" / FILE, 0)[0] if entry["kind"] == "resume"]
    assert said[-1]["step"] == 10, "in the second phase, with some of the measurements behind it"
    kept = [name for name in read_metrics(home / "run")[-1] if name.split("/")[0] in ("loss", "task_loss", "task_weight")]
    assert len(kept) == 7
    for before, after in zip(read_metrics(home / "run"), read_metrics(tmp_path / "run"), strict=True):
        assert [before[name] for name in kept] == [after[name] for name in kept]
    ends = [read_manifest(Checkpoints(path / "run", 2).path("final")).progress.coba for path in (home, tmp_path)]
    assert ends[0] == ends[1]
    for path in (home / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def test_two_processes_with_accumulation_train_alike(
    finished: tuple[Path, str], inputs: dict[str, Path], tmp_path: Path
) -> None:
    home, _ = finished
    run(make_job(tmp_path, inputs, processes=2, micro_batch=1))
    for one, two in zip(read_metrics(home / "run"), read_metrics(tmp_path / "run"), strict=True):
        names = [name for name in one if name.split("/")[0] in ("loss", "task_loss", "task_weight", "validation_loss")]
        assert [two[name] for name in names] == pytest.approx([one[name] for name in names], rel=1e-4)


def test_a_task_of_which_nothing_is_held_out_is_named(inputs: dict[str, Path], tokenizer: Path, tmp_path: Path) -> None:
    few = tiny.make_memmap(tmp_path / "few", tokenizer, documents=2, masked=True, tasks=TASKS)
    job = make_job(tmp_path, {**inputs, "validation": few})
    with pytest.raises(ConfigurationError, match=r"balance\.coba: no conversation of 三 is held out"):
        open_tasks(job, read_config(job), tokenizer, (0, 1, 2))


def test_pretraining_knows_no_tasks(inputs: dict[str, Path], tmp_path: Path) -> None:
    job = make_job(tmp_path, inputs)
    with pytest.raises(ConfigurationError, match="this job pretrains"):
        read_config(job.model_copy(update={"config": job.config | {"kind": "pretrain"}}))


def test_the_graph_gives_the_asset_what_its_stage_is_made_from(tmp_path: Path) -> None:
    """A stage whose asset has other inputs fails only when it is run, hours later."""
    from assets.models import sft_model_asset

    mixed = small_recipe(tmp_path, lambda text: text.replace("sft:", "sft:\n  pretraining: {share: 0.25}"))
    for recipe in (small_recipe(tmp_path), mixed):
        (stage,) = [stage for stage in stages_of(recipe) if stage.name == "sft_model"]
        asset = sft_model_asset(stage)
        assert {key.path[-1] for key in asset.dependency_keys} == set(stage.inputs)
