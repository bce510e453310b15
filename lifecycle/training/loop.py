"""The training loop: one optimizer step after another, from a checkpoint or from the start."""

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lifecycle.errors import CorruptArtifactError
from lifecycle.recipe.training import CausalTraining
from lifecycle.training import guards
from lifecycle.training.batches import PackedDocuments, SampleOrder
from lifecycle.training.checkpoints import Checkpoints
from lifecycle.training.distributed import agree, rank, sum_over_ranks, world
from lifecycle.training.engine import Engine, accumulation_steps, set_learning_rate
from lifecycle.training.exits import NumericsError, Preempted
from lifecycle.training.journal import Journal
from lifecycle.training.loss import engine_scale
from lifecycle.training.meter import Meter
from lifecycle.training.schedule import learning_rate
from lifecycle.training.stop import StopRequest

TAG = "state"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int = 0
    """Optimizer steps completed."""
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """What the loop works with. `journal` is None on all ranks but 0."""

    training: CausalTraining
    engine: Engine
    data: PackedDocuments
    order: SampleOrder
    device: torch.device
    checkpoints: Checkpoints
    identity: dict[str, Any]
    journal: Journal | None
    meter: Meter


@dataclass(frozen=True)
class StepResult:
    """What one step gives; the same on every rank except `data_seconds`."""

    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    valid_share: float
    """Labels with weight over all label places."""
    data_seconds: float
    stop: bool


def train(run: Run, progress: Progress, stop: StopRequest) -> Progress:
    """Run all steps that are left, with a checkpoint at the intervals asked for and at the end.

    Raises:
        Preempted: the process was asked to stop; the last step that was done is saved.
        NumericsError, DataError: a guard tripped.
    """
    training = run.training
    for step in range(progress.step, training.steps):
        began = time.monotonic()
        result = train_step(run, step, stop)
        stop.hold()
        seconds = time.monotonic() - began
        progress = Progress(step + 1, progress.tokens + result.tokens, progress.seconds + seconds)
        run.meter.add(result.tokens, seconds, result.data_seconds)
        last = progress.step == training.steps
        if run.journal and (last or progress.step % training.log_every == 0):
            _report(run, run.journal, progress, result)
        if last or result.stop or progress.step % training.checkpoint_every == 0:
            save(run, progress)
        if result.stop and not last:
            raise Preempted(f"asked to stop; a checkpoint was saved after step {progress.step} of {training.steps}")
    stop.release()
    return progress


def train_step(run: Run, step: int, stop: StopRequest) -> StepResult:
    """One optimizer step over the global batch of `step` (0-based), guarded before the weights change."""
    training, engine = run.training, run.engine
    began = time.monotonic()
    parts = [
        run.order.micro_batch(step, micro_step, rank(), world(), training.micro_batch)
        for micro_step in range(accumulation_steps(training))
    ]
    batches = [run.data.batch(part) for part in parts]
    valid = sum(int(torch.count_nonzero(batch.weights)) for batch in batches)
    weight = sum(float(batch.weights.sum()) for batch in batches)
    data_seconds = time.monotonic() - began
    total_weight, tokens, valid = sum_over_ranks(run.device, weight, sum(batch.tokens for batch in batches), valid)
    number = step + 1
    guards.check_weight(number, total_weight, partial(_documents, run, parts, True))

    rate = learning_rate(training.optimization, training.steps, step)
    set_learning_rate(engine, rate)
    scale = engine_scale(total_weight, world(), len(batches))
    local = torch.zeros((), dtype=torch.float64, device=run.device)
    loss = norm = 0.0
    stop_asked = False
    for index, batch in enumerate(batches):
        moved = batch.to(run.device)
        value = engine(moved.ids, moved.positions, moved.segments, moved.labels, moved.weights)
        engine.backward(value * scale)
        local += value.detach()
        if index == len(batches) - 1:
            total, asked = sum_over_ranks(run.device, float(local), float(stop.asked))
            loss, stop_asked = total / total_weight, asked > 0
            guards.check_loss(number, loss, partial(_documents, run, parts, not 0 < float(local) < math.inf))
            guards.check_learning_rate(number, engine.get_lr(), rate)
            norm = _unclipped_norm(engine)
        skipped = engine.skipped_steps
        engine.step()
        if engine.skipped_steps != skipped:
            raise NumericsError(f"step {number}: the engine skipped the step because the gradient is not finite")
    reported = engine.get_global_grad_norm()
    norm = norm if reported is None else float(reported)
    guards.check_gradient_norm(number, norm, partial(_documents, run, parts, True))
    places = training.global_batch * training.sequence_length
    return StepResult(loss, rate, norm, int(tokens), valid / places, data_seconds, stop_asked)


def save(run: Run, progress: Progress) -> None:
    """Write a checkpoint; every rank must call it."""
    if rank() == 0:
        run.checkpoints.prepare(progress.step)
    distributed.barrier()
    run.engine.save_checkpoint(str(run.checkpoints.temporary(progress.step)), tag=TAG, save_latest=False)
    distributed.barrier()
    if rank() == 0:
        run.checkpoints.commit(progress.step, run.identity, progress.tokens, progress.seconds)
    distributed.barrier()


def resume(run: Run) -> Progress:
    """Load the newest whole checkpoint, if there is one; every rank must call it.

    Raises:
        ConfigurationError: it belongs to another job.
        CorruptArtifactError: the engine cannot read it although its hashes fit.
    """
    progress = Progress()
    if rank() == 0:
        manifest, said = run.checkpoints.newest(run.identity)
        if manifest:
            progress = Progress(manifest.step, manifest.tokens, manifest.seconds)
        assert run.journal is not None
        for text in said:
            run.journal.message(text)
        run.journal.resume(progress.step)
        if progress.step:
            run.journal.message(f"continuing after step {progress.step} of {run.training.steps}")
    step = agree(run.device, progress.step)
    if step:
        directory: Path = run.checkpoints.path(step)
        loaded, _ = run.engine.load_checkpoint(str(directory), tag=TAG)
        if loaded is None:
            raise CorruptArtifactError(f"{directory}: the engine found no state in this checkpoint")
    return replace(progress, step=step)


def _report(run: Run, journal: Journal, progress: Progress, result: StepResult) -> None:
    journal.metrics(
        progress.step,
        loss=result.loss,
        learning_rate=result.learning_rate,
        gradient_norm=result.gradient_norm,
        tokens=progress.tokens,
        valid_token_share=result.valid_share,
        **run.meter.read(run.training.steps - progress.step),
    )


def _documents(run: Run, parts: list[Any], suspect: bool) -> list[int]:
    """The documents of all suspect ranks' shares of the batch; every rank gets here together and must call it."""
    own = [number for part in parts for number in run.data.documents(part)] if suspect else []
    everyone: list[Any] = [None] * world()
    distributed.all_gather_object(everyone, own)
    return sorted({number for numbers in everyone for number in numbers})


def _unclipped_norm(engine: Engine) -> float:
    """The gradient's norm before the step, for the one case (ZeRO 0 in fp32) in which the engine keeps none."""
    if engine.zero_optimization() or engine.bfloat16_enabled():
        return 0.0
    gradients = [parameter.grad for parameter in engine.module.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
