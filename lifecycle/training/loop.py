"""The training loop: one optimizer step after another, from a checkpoint or from the start."""

import math
import time
from collections import deque

from lifecycle.recipe.training import CausalTraining
from lifecycle.training import coba, guards
from lifecycle.training.checkpoints import Progress
from lifecycle.training.collection import collected_seldom
from lifecycle.training.exits import ConfigurationError, NumericsError, Preempted
from lifecycle.training.journal import Journal
from lifecycle.training.run import Run
from lifecycle.training.saving import finish, save
from lifecycle.training.step import Reading, StepResult, judge, train_step
from lifecycle.training.stop import StopRequest
from lifecycle.training.validation import BITS_PER_BYTE, task_losses, validate


def train(run: Run, progress: Progress, stop: StopRequest) -> Progress:
    """Run all steps that are left, with validations and checkpoints at the intervals asked for and at the end.

    Raises:
        Preempted: the process was asked to stop; the last step that was done is saved.
        ConfigurationError: the disk is nearly full; the last step that was done is saved.
        StartAgain: the batch of this step is to be left out, from the last checkpoint on.
        NumericsError, DataError, OutOfMemoryError: a guard tripped.
    """
    with run.engine.checkpoint_engine, collected_seldom() as collect:
        progress = _measure_tasks(run, progress)
        unread: deque[StepResult] = deque()
        while progress.step < run.training.steps and not _stalled(run.training, progress):
            progress = _one_step(run, progress, stop, unread)
            collect(progress.step)
        finish(run)
    stop.release()
    return progress


def _one_step(run: Run, progress: Progress, stop: StopRequest, unread: deque[StepResult]) -> Progress:
    """Train one step, judge those whose figures are due, and do what follows after it."""
    training = run.training
    began = time.monotonic()
    run.heartbeat.beat(progress.step + 1, "data")
    try:
        result = train_step(run, progress.step, stop, progress.coba)
        unread.append(result)
        progress = progress.model_copy(update={"step": result.number, "tokens": progress.tokens + result.tokens})
        readings = []
        while len(unread) > (0 if _is_settled(run, result) else run.reading_delay):
            progress, reading = judge(run, progress, unread.popleft())
            readings.append(reading)
    except (RuntimeError, MemoryError) as error:
        explained = guards.explain_memory(error, progress.step + 1, training)
        if explained is None:
            raise
        raise explained from error
    run.heartbeat.rest()
    stop.hold()
    seconds = time.monotonic() - began
    progress = progress.model_copy(update={"seconds": progress.seconds + seconds})
    run.meter.add(result.tokens, seconds, result.data_seconds)
    progress, measured = _validate(run, progress)
    progress = _measure_tasks(run, progress)
    last = progress.step == training.steps or _stalled(training, progress)
    if run.journal:
        for reading in readings:
            _report(run, run.journal, progress, reading, measured, last)
        _warn_of_disk(run, run.journal)
    _save(run, progress, result, new_best=bool(measured) and progress.best_step == progress.step, last=last)
    return progress


def _is_settled(run: Run, result: StepResult) -> bool:
    """Whether nothing may be left unread after this step: something follows that relies on it."""
    training, number = run.training, result.number
    ends = number == training.steps or result.stop or result.disk_full
    measured = run.tasks is not None and number % run.tasks.config.every == 0
    return ends or measured or number % training.checkpoint_every == 0 or _validates(run, number)


def _save(run: Run, progress: Progress, result: StepResult, new_best: bool, last: bool) -> None:
    training = run.training
    if last or result.stop or result.disk_full or progress.step % training.checkpoint_every == 0:
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


def _stalled(training: CausalTraining, progress: Progress) -> bool:
    patience = training.validation and training.validation.patience
    return bool(patience) and progress.stalled >= patience


def _validates(run: Run, number: int) -> bool:
    wanted = run.training.validation
    return wanted is not None and run.validation is not None and (number == run.training.steps or number % wanted.every == 0)


def _validate(run: Run, progress: Progress) -> tuple[Progress, dict[str, float]]:
    """Measure where it is time to; the progress with the best so far, and the figures to report."""
    if run.validation is None or not _validates(run, progress.step):
        return progress, {}
    measured = validate(run.engine, run.validation, run.training.micro_batch)
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


def _task_figures(run: Run, progress: Progress) -> dict[str, float]:
    """The last measurement of each task, and the weight that follows from it."""
    if run.tasks is None or progress.coba is None:
        return {}
    losses = {f"task_loss/{name}": loss for name, loss in zip(run.tasks.tasks, progress.coba.losses[-1], strict=True)}
    return losses | {f"task_weight/{name}": w for name, w in zip(run.tasks.tasks, progress.coba.weights, strict=True)}


def _report(
    run: Run, journal: Journal, progress: Progress, reading: Reading, measured: dict[str, float], last: bool
) -> None:
    result, step = reading.result, reading.result.number
    newest = step == progress.step
    if step % run.training.log_every == 0 or (newest and (last or measured)):
        journal.metrics(
            step,
            loss=reading.loss,
            learning_rate=result.learning_rate,
            gradient_norm=reading.gradient_norm,
            tokens=progress.tokens,
            valid_token_share=result.valid_share,
            **(measured if newest else {}),
            **_task_figures(run, progress),
            **run.meter.read(run.training.steps - progress.step),
        )
    if reading.spike:
        journal.message(reading.spike)
