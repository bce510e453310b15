"""Each guard stops a run that would otherwise go on and look healthy."""

import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from lifecycle.errors import DataError
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training import guards
from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder
from lifecycle.training.checkpoints import Checkpoints, Progress
from lifecycle.training.config import read_config
from lifecycle.training.engine import start_engine
from lifecycle.training.estimate import new_shape
from lifecycle.training.exits import ConfigurationError, ExitClass, NumericsError, OutOfMemoryError
from lifecycle.training.feed import Feed
from lifecycle.training.heartbeat import Heartbeat
from lifecycle.training.journal import FILE, Journal, follow, read_metrics
from lifecycle.training.loop import train
from lifecycle.training.meter import Meter
from lifecycle.training.model import build_model
from lifecycle.training.preflight import check_disk, check_tokenizer, check_vocabulary
from lifecycle.training.run import Run
from lifecycle.training.saving import finish, save
from lifecycle.training.skipping import SkippedBatches
from lifecycle.training.step import judge, train_step
from lifecycle.training.stop import StopRequest
from lifecycle.training.validation import Measured, ValidationSet, validate
from tests.patience import PATIENCE
from tests.training import tiny


@pytest.fixture
def run(tmp_path: Path, device: torch.device, sft_memmap: Path, tokenizer: Path) -> Run:
    job = tiny.make_job(tmp_path, {"memmap": sft_memmap, "tokenizer": tokenizer}, kind="sft")
    training = read_config(job).training
    data = PackedDocuments(TokenMemmap(sft_memmap), training.sequence_length, "sft")
    model = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    return Run(
        training=training,
        engine=start_engine(model, training, device),
        data=data,
        order=SampleOrder(data.sequences, training.global_batch, training.seed, BLOCK),
        device=device,
        checkpoints=Checkpoints(tmp_path / "run", 2),
        identity={},
        journal=None,
        meter=Meter(1, 1.0, None),
        heartbeat=Heartbeat(tmp_path / "run", 0, 900.0),
        skipped=SkippedBatches(tmp_path / "run"),
        feed=Feed(device),
    )


def test_someone_else_moves_the_learning_rate(run: Run) -> None:
    """Two schedulers slid the rate to 0 within hours while the loss curve looked plausible."""
    train_step(run, 0, StopRequest())

    def second_scheduler(*_: object) -> None:
        for group in run.engine.optimizer.param_groups:
            group["lr"] *= 0.9

    run.engine.module.register_forward_pre_hook(second_scheduler)
    with pytest.raises(NumericsError, match=r"step 2: the engine's learning rate .* second scheduler"):
        train_step(run, 1, StopRequest())


def test_a_batch_without_labels_names_its_documents(run: Run, sft_memmap: Path) -> None:
    """An all-zero mask (a template without generation marks) trains on nothing and logs a loss of 0 or NaN."""
    memmap = TokenMemmap(sft_memmap)
    assert memmap.loss_mask is not None
    assert isinstance(run.data, PackedDocuments)
    run.data.memmap.loss_mask = memmap.loss_mask * 0
    first = min(run.data.documents(run.order.global_step(4)))
    with pytest.raises(DataError, match=rf"step 5: no label .* documents {first}, "):
        train_step(run, 4, StopRequest())


def test_a_nan_weight_ends_the_launched_run_as_numerics(tmp_path: Path, sft_memmap: Path, tokenizer: Path) -> None:
    model = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    with torch.no_grad():
        next(model.parameters())[5, 0] = float("nan")  # tied, so that every logit row meets it
    start_from = tmp_path / "model"
    model.save_pretrained(str(start_from))
    for path in tokenizer.iterdir():
        (start_from / path.name).write_bytes(path.read_bytes())
    job = tiny.make_job(
        tmp_path, {"memmap": sft_memmap, "model": start_from}, kind="sft", architecture=False, processes=2, micro_batch=1
    )
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.NUMERICS.code, output
    failure = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert failure["exit_class"] == "numerics"
    assert "step 1: the loss is nan; the batch holds the memmap's documents" in failure["message"]
    assert not list((tmp_path / "out").iterdir())
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0])
def test_impossible_losses(loss: float) -> None:
    with pytest.raises(NumericsError, match="step 3"):
        guards.check_loss(3, loss, lambda: [1])
    guards.check_loss(3, 0.1, lambda: [1])


def test_an_exploding_gradient_ends_the_run(run: Run) -> None:
    run = replace(run, training=run.training.model_copy(update={"steps": 50}))
    progress = Progress()
    for step in range(guards.ENOUGH_HISTORY):
        progress, _ = judge(run, progress, train_step(run, step, StopRequest()))
    for parameter in run.engine.module.parameters():
        parameter.register_hook(lambda gradient: gradient * 1e7)
    with pytest.raises(NumericsError, match=rf"step {guards.ENOUGH_HISTORY + 1}: the gradient norm .* documents \d+"):
        judge(run, progress, train_step(run, guards.ENOUGH_HISTORY, StopRequest()))


@pytest.mark.parametrize(("fault", "steps_done"), [(4, 5), (6, 6)])
def test_a_fault_that_is_read_one_step_late_is_never_saved(run: Run, fault: int, steps_done: int) -> None:
    """On a GPU a step's figures stay on the device for a step; what they say must still come before its checkpoint."""
    done: list[int] = []
    late = replace(run, reading_delay=1, training=run.training.model_copy(update={"checkpoint_every": 3}))

    def poison(*_: object) -> None:
        done.append(len(done) + 1)
        if len(done) == 2 * fault - 1:  # two micro-batches a step
            with torch.no_grad():
                next(run.engine.module.parameters()).fill_(float("nan"))

    run.engine.module.register_forward_pre_hook(poison)
    with pytest.raises(NumericsError, match=rf"step {fault}: the loss is nan; the batch holds the memmap's documents \d"):
        train(late, Progress(), StopRequest())
    assert len(done) == 2 * steps_done
    assert late.checkpoints.steps() == [3]


def test_reading_late_changes_no_figure(run: Run, tmp_path: Path) -> None:
    """Each step is reported once, under its own number, with what it would report if it were read at once."""
    late = replace(run, reading_delay=1, journal=Journal(tmp_path / "run"))
    progress = train(late, Progress(), StopRequest())
    metrics = read_metrics(tmp_path / "run")
    assert [entry["step"] for entry in metrics] == list(range(1, 9))
    assert progress.losses == tuple(entry["loss"] for entry in metrics)


def test_out_of_memory_says_what_to_try_next(run: Run) -> None:
    run.engine.module.register_forward_pre_hook(lambda *_: torch.empty(2**60))
    with pytest.raises(OutOfMemoryError, match=r"step 1: out of memory with micro_batch 2 x 64 .* try micro_batch 1 \(acc"):
        train(run, Progress(), StopRequest())


def test_a_full_disk_ends_the_run_with_a_checkpoint(run: Run, tmp_path: Path) -> None:
    limits = run.training.guards.model_copy(update={"disk_stop_share": 1e-9})
    full = replace(run, training=run.training.model_copy(update={"guards": limits}))
    with pytest.raises(ConfigurationError, match="a checkpoint was saved after step 1 of 8"):
        train(full, Progress(), StopRequest())
    assert full.checkpoints.newest({})[0] == "step_1"


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_leaves_the_one_before(run: Run) -> None:
    """What fails in the writing thread must reach the steps, or a run would go on for days without a checkpoint."""
    save(run, Progress(step=1))
    finish(run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            train(replace(run, training=run.training.model_copy(update={"checkpoint_every": 1})), Progress(), StopRequest())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.checkpoints.newest({})[0] == "step_1"


def test_a_validation_that_fails_leaves_the_model_in_training(run: Run) -> None:
    """Left in evaluation mode, a model keeps what it no longer needs and trains without dropout."""
    groups = np.zeros(len(run.data.memmap), dtype=np.int64)
    held_out = ValidationSet(Measured(run.data, np.arange(2), groups, 1), (), (), 100)
    validate(run.engine, held_out, 2)
    assert run.engine.training

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    run.engine.module.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        validate(run.engine, held_out, 2)
    assert run.engine.training


def test_a_filling_disk_is_warned_of_once(run: Run, tmp_path: Path) -> None:
    limits = run.training.guards.model_copy(update={"disk_warn_share": 1e-9, "disk_stop_share": 1.0})
    journal = Journal(tmp_path / "run")
    train(
        replace(run, training=run.training.model_copy(update={"guards": limits}), journal=journal), Progress(), StopRequest()
    )
    messages = [entry["text"] for entry in follow(tmp_path / "run" / FILE, 0)[0] if entry["kind"] == "message"]
    assert len([text for text in messages if "% full; the run stops with a checkpoint at 100%" in text]) == 1


def test_more_passes_over_the_data_than_allowed_are_refused(run: Run) -> None:
    limits = run.training.guards.model_copy(update={"max_epochs": 2.0})
    guards.check_data(run.training.model_copy(update={"guards": limits, "steps": 8}), sequences=16, batch=4)
    with pytest.raises(ConfigurationError, match=r"9 steps of 4 sequences are 2.25 passes .* 8 steps, or more data"):
        guards.check_data(run.training.model_copy(update={"guards": limits, "steps": 9}), sequences=16, batch=4)


def test_one_rank_is_told_to_stop_and_all_save_the_same_step(tmp_path: Path, memmap: Path, tokenizer: Path) -> None:
    job = tiny.make_job(
        tmp_path, {"memmap": memmap, "tokenizer": tokenizer}, processes=2, micro_batch=1, steps=4000, checkpoint_every=5000
    )
    process = tiny.launch(job)
    while not read_metrics(tmp_path / "run"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    ranks = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1"]
    ranks[0].terminate()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.PREEMPTION.code, output
    step = read_metrics(tmp_path / "run")[-1]["step"]
    assert Checkpoints(tmp_path / "run", 2).steps() == [step]
    ends = [json.loads(path.read_text()) for path in (tmp_path / "run" / "errors").iterdir()]
    assert [end["class"] for end in ends] == ["preemption", "preemption"]


def test_memmap_of_another_tokenizer_is_refused(tmp_path: Path, memmap: Path, tokenizer: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in tokenizer.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    check_tokenizer(TokenMemmap(memmap), other)
    (other / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(ConfigurationError, match="build the memmap again"):
        check_tokenizer(TokenMemmap(memmap), other)


def test_vocabulary_and_disk_are_checked_before_anything_runs(tmp_path: Path, memmap: Path, tokenizer: Path) -> None:
    with pytest.raises(ConfigurationError, match="vocabulary of 320"):
        check_vocabulary(TokenMemmap(memmap), 319)
    job = tiny.make_job(tmp_path, {"memmap": memmap, "tokenizer": tokenizer})
    shape = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, read_config(job).training)
    check_disk(job, read_config(job).training, shape)
    with pytest.raises(ConfigurationError, match=r"the checkpoints \(2 and more\) need"):
        check_disk(job, read_config(job).training, replace(shape, parameters=10**15, trainable=10**15))
