"""The training loop: one optimizer step after another, from a checkpoint or from the start."""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import distributed

from lifecycle.recipe.training import CausalTraining
from lifecycle.training import coba, guards
from lifecycle.training.checkpoints import Progress
from lifecycle.training.distributed import rank, sum_over_ranks, world
from lifecycle.training.engine import Engine, accumulation_steps, set_learning_rate
from lifecycle.training.exits import ConfigurationError, NumericsError, Preempted
from lifecycle.training.journal import Journal
from lifecycle.training.loss import engine_scale
from lifecycle.training.run import Run
from lifecycle.training.saving import save
from lifecycle.training.schedule import learning_rate
from lifecycle.training.stop import StopRequest
from lifecycle.training.validation import BITS_PER_BYTE, task_losses, validate


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
    disk_full: bool
    spike: str | None


def train(run: Run, progress: Progress, stop: StopRequest) -> Progress:
    """Run all steps that are left, with validations and checkpoints at the intervals asked for and at the end.

    Raises:
        Preempted: the process was asked to stop; the last step that was done is saved.
        ConfigurationError: the disk is nearly full; the last step that was done is saved.
        StartAgain: the batch of this step is to be left out, from the last checkpoint on.
        NumericsError, DataError, OutOfMemoryError: a guard tripped.
    """
    training = run.training
    progress = _measure_tasks(run, progress)
    while progress.step < training.steps and not _stalled(training, progress):
        began = time.monotonic()
        step = progress.step
        run.heartbeat.beat(step + 1, "data")
        try:
            result = train_step(run, progress, stop)
        except (RuntimeError, MemoryError) as error:
            explained = guards.explain_memory(error, step + 1, training)
            if explained is None:
                raise
            raise explained from error
        run.heartbeat.rest()
        stop.hold()
        seconds = time.monotonic() - began
        progress = _advance(progress, result, seconds)
        run.meter.add(result.tokens, seconds, result.data_seconds)
        last = progress.step == training.steps
        progress, measured = _validate(run, progress, last)
        progress = _measure_tasks(run, progress)
        last = last or _stalled(training, progress)
        if run.journal:
            if last or measured or progress.step % training.log_every == 0:
                _report(run, run.journal, progress, result, measured)
            if result.spike:
                run.journal.message(result.spike)
            _warn_of_disk(run, run.journal)
        new_best = bool(measured) and progress.best_step == progress.step
        halt = result.stop or result.disk_full
        if last or halt or progress.step % training.checkpoint_every == 0:
            save(run, progress, ("step", "best") if new_best else ("step",))
        elif new_best:
            save(run, progress, ("best",))
        if result.stop and not last:
            raise Preempted(f"asked to stop; a checkpoint was saved after step {progress.step} of {training.steps}")
        if result.disk_full and not last:
            raise ConfigurationError(
                f"{run.checkpoints.root}: its disk is {guards.disk_share(run.checkpoints.root):.0%} full "
                f"(guards.disk_stop_share {training.guards.disk_stop_share:.0%}); a checkpoint was saved after step "
                f"{progress.step} of {training.steps}. Free some space and run again"
            )
    stop.release()
    return progress


def train_step(run: Run, progress: Progress, stop: StopRequest) -> StepResult:
    """One optimizer step over the global batch that follows `progress`, guarded before the weights change."""
    training, engine, step = run.training, run.engine, progress.step
    began = time.monotonic()
    position = run.skipped.position(step)
    parts = [
        run.order.micro_batch(position, micro_step, rank(), world(), training.micro_batch)
        for micro_step in range(accumulation_steps(training))
    ]
    batches = [run.data.batch(part) for part in parts]
    valid = sum(int(torch.count_nonzero(batch.weights)) for batch in batches)
    weights = run.balance.totals(batches)
    data_seconds = time.monotonic() - began
    run.heartbeat.beat(step + 1, "compute")
    tokens = sum(batch.tokens for batch in batches)
    tokens, valid, *totals = sum_over_ranks(run.device, tokens, valid, *weights)
    factors = run.balance.factors(totals, progress.coba)
    total_weight = float(factors @ totals)
    number = step + 1
    everyone = partial(_documents, run, parts, True)
    guards.check_weight(number, total_weight, everyone)

    rate = learning_rate(training.optimization, training.steps, step)
    set_learning_rate(engine, rate)
    scale = engine_scale(total_weight, world(), len(batches))
    local = torch.zeros((), dtype=torch.float64, device=run.device)
    loss = norm = 0.0
    stop_asked = disk_full = False
    spike: str | None = None
    for index, batch in enumerate(batches):
        moved = run.balance.weigh(batch, factors).to(run.device)
        value = engine(moved.ids, moved.positions, moved.segments, moved.labels, moved.weights)
        engine.backward(value * scale)
        local += value.detach()
        if index == len(batches) - 1:
            full = guards.disk_share(run.checkpoints.root.parent) >= training.guards.disk_stop_share
            total, asked, disks = sum_over_ranks(run.device, float(local), float(stop.asked), float(full))
            loss, stop_asked, disk_full = total / total_weight, asked > 0, disks > 0
            guards.check_loss(number, loss, partial(_documents, run, parts, not 0 < float(local) < math.inf))
            guards.check_learning_rate(number, engine.get_lr(), rate)
            spike = guards.spike(number, loss, progress.losses, training.guards.spike_factor)
            if spike:
                spike = f"{spike}; {guards.named(everyone)}"
                run.skipped.consider(training.guards, position, spike)
            norm = _unclipped_norm(engine)
        skipped = engine.skipped_steps
        engine.step()
        if engine.skipped_steps != skipped:
            raise NumericsError(f"step {number}: the engine skipped the step because the gradient is not finite")
    reported = engine.get_global_grad_norm()
    norm = norm if reported is None else float(reported)
    guards.check_gradient_norm(number, norm, progress.gradient_norms, training.guards.explosion_factor, everyone)
    places = training.global_batch * training.sequence_length
    return StepResult(loss, rate, norm, int(tokens), valid / places, data_seconds, stop_asked, disk_full, spike)


def _stalled(training: CausalTraining, progress: Progress) -> bool:
    patience = training.validation and training.validation.patience
    return bool(patience) and progress.stalled >= patience


def _advance(progress: Progress, result: StepResult, seconds: float) -> Progress:
    return progress.model_copy(
        update={
            "step": progress.step + 1,
            "tokens": progress.tokens + result.tokens,
            "seconds": progress.seconds + seconds,
            "losses": (*progress.losses, result.loss)[-guards.HISTORY :],
            "gradient_norms": (*progress.gradient_norms, result.gradient_norm)[-guards.HISTORY :],
        }
    )


def _validate(run: Run, progress: Progress, last: bool) -> tuple[Progress, dict[str, float]]:
    """Measure where it is time to; the progress with the best so far, and the figures to report."""
    wanted, held_out = run.training.validation, run.validation
    if wanted is None or held_out is None or not (last or progress.step % wanted.every == 0):
        return progress, {}
    measured = validate(run.engine, held_out, run.training.micro_batch)
    bits = measured[BITS_PER_BYTE]
    if not math.isfinite(bits):
        raise NumericsError(f"step {progress.step}: the validation gives {bits} bits per byte")
    if progress.best_bits_per_byte is None or bits < progress.best_bits_per_byte:
        update = {"best_step": progress.step, "best_bits_per_byte": bits, "stalled": 0}
    else:
        update = {"stalled": progress.stalled + 1}
    progress = progress.model_copy(update=update)
    if run.journal and _stalled(run.training, progress):
        run.journal.message(
            f"early stopping after step {progress.step}: no better than {progress.best_bits_per_byte:.4f} bits per byte, "
            f"those of step {progress.best_step}, in {progress.stalled} validations"
        )
    return progress, measured


def _measure_tasks(run: Run, progress: Progress) -> Progress:
    """Measure the tasks where it is time to, before the first step too; the progress with the weights that follow."""
    tasks, state = run.tasks, progress.coba
    if tasks is None or progress.step % tasks.config.every or (state and state.step == progress.step):
        return progress
    losses = task_losses(run.engine, tasks, run.training.micro_batch)
    if not all(map(math.isfinite, losses)):
        raise NumericsError(f"step {progress.step}: the tasks {tasks.tasks} have validation losses {losses}")
    return progress.model_copy(update={"coba": coba.advance(state, tasks.config, progress.step, losses)})


def _warn_of_disk(run: Run, journal: Journal) -> None:
    share, limits = guards.disk_share(run.checkpoints.root.parent), run.training.guards
    if share >= limits.disk_warn_share:
        journal.warn_once(
            f"the disk of {run.checkpoints.root.parent} is {share:.0%} full; the run stops with a checkpoint at "
            f"{limits.disk_stop_share:.0%}"
        )


def _report(run: Run, journal: Journal, progress: Progress, result: StepResult, measured: dict[str, float]) -> None:
    journal.metrics(
        progress.step,
        loss=result.loss,
        learning_rate=result.learning_rate,
        gradient_norm=result.gradient_norm,
        tokens=progress.tokens,
        valid_token_share=result.valid_share,
        **measured,
        **_task_figures(run, progress),
        **run.meter.read(run.training.steps - progress.step),
    )


def _task_figures(run: Run, progress: Progress) -> dict[str, float]:
    """The last measurement of each task, and the weight that follows from it."""
    if run.tasks is None or progress.coba is None:
        return {}
    losses = {f"task_loss/{name}": loss for name, loss in zip(run.tasks.tasks, progress.coba.losses[-1], strict=True)}
    return losses | {f"task_weight/{name}": w for name, w in zip(run.tasks.tasks, progress.coba.weights, strict=True)}


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
