"""One optimizer step, and the judgement of its figures once they can be read.

A step leaves its loss and gradient norm on the device; to read them at once would make a GPU wait for the host and the host
for the GPU at every step. So they are judged `Run.reading_delay` steps later (0 on the CPU, 1 on a GPU), and always before
a validation, a checkpoint or the end: a fault is seen one step late at most and never saved.
"""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import distributed

from lifecycle.training import guards
from lifecycle.training.checkpoints import Progress
from lifecycle.training.coba import CobaState
from lifecycle.training.distributed import agree, rank, world
from lifecycle.training.engine import Engine, accumulation_steps, set_learning_rate
from lifecycle.training.loss import engine_scale
from lifecycle.training.run import Run
from lifecycle.training.schedule import learning_rate
from lifecycle.training.stop import StopRequest


@dataclass(frozen=True)
class StepResult:
    """What is known of a step as soon as it has been handed to the device; the same on every rank but for `data_seconds`,
    `parts` and `figures`."""

    number: int
    """Steps completed with this one."""
    position: int
    """Its place in the sample order."""
    parts: tuple[np.ndarray, ...]
    """This rank's sequences."""
    figures: "LateFigures"
    total_weight: float
    learning_rate: float
    tokens: int
    valid_share: float
    """Labels with weight over all label places."""
    data_seconds: float
    """The host's time to read the batch; a GPU goes on computing meanwhile, so it waits for less than that."""
    stop: bool
    disk_full: bool


@dataclass(frozen=True)
class Reading:
    """The figures of a step that passed the guards."""

    result: StepResult
    loss: float
    gradient_norm: float
    spike: str | None


class LateFigures:
    """Scalars on their way from the device to the host. Reading waits for this copy and for nothing that came after it."""

    def __init__(self, *values: torch.Tensor) -> None:
        stacked = torch.stack([value.detach().double() for value in values])
        self._arrived = None
        if stacked.device.type == "cuda":
            self._host = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            self._host.copy_(stacked, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._host = stacked

    def read(self) -> list[float]:
        """The values, in the order given."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.tolist()


def train_step(run: Run, step: int, stop: StopRequest, coba: CobaState | None = None) -> StepResult:
    """One optimizer step over the global batch of step `step` (0-based); `judge` must be given the result.

    Tasks weigh what `coba` says, where it decides.

    Raises:
        DataError: no label of the batch has weight.
        NumericsError: something else moved the learning rate.
    """
    training, engine, number = run.training, run.engine, step + 1
    began = time.monotonic()
    position = run.skipped.position(step)
    parts = tuple(
        run.order.micro_batch(position, micro_step, rank(), world(), training.micro_batch)
        for micro_step in range(accumulation_steps(training))
    )
    batches = [run.data.batch(part) for part in parts]
    weights = run.balance.totals(batches)
    valid = sum(int(torch.count_nonzero(batch.weights)) for batch in batches)
    moved = [run.feed.send(batch) for batch in batches]
    data_seconds = time.monotonic() - began
    run.heartbeat.beat(number, "compute")
    tokens, valid, *totals = agree(run.host_group, sum(batch.tokens for batch in batches), valid, *weights)
    factors = run.balance.factors(totals, coba)
    total_weight = float(factors @ totals)
    guards.check_weight(number, total_weight, partial(documents, run, parts, True))

    rate = learning_rate(training.optimization, training.steps, step)
    set_learning_rate(engine, rate)
    scale = engine_scale(total_weight, world(), len(batches))
    local = torch.zeros((), dtype=torch.float64, device=run.device)
    norm = None
    for index, sent in enumerate(moved):
        batch = run.balance.weigh(sent, factors)
        value = engine(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
        engine.backward(value * scale)
        local += value.detach()
        if index == len(moved) - 1:
            guards.check_learning_rate(number, engine.get_lr(), rate)
            norm = _clip(engine, training.optimization.gradient_clip)
        engine.step()
    total = local.clone()
    if world() > 1:
        distributed.all_reduce(total)
    norm = engine.get_global_grad_norm() if norm is None else norm
    figures = LateFigures(total, local, torch.as_tensor(norm, device=run.device))
    full = guards.disk_share(run.checkpoints.root.parent) >= training.guards.disk_stop_share
    asked, disks = agree(run.host_group, float(stop.asked), float(full))
    places = training.global_batch * training.sequence_length
    return StepResult(
        number=number,
        position=position,
        parts=parts,
        figures=figures,
        total_weight=total_weight,
        learning_rate=rate,
        tokens=int(tokens),
        valid_share=valid / places,
        data_seconds=data_seconds,
        stop=asked > 0,
        disk_full=disks > 0,
    )


def judge(run: Run, progress: Progress, result: StepResult) -> tuple[Progress, Reading]:
    """Read a step's figures and hold them against the guards; every rank must call it, in the order of the steps.

    Returns:
        The progress with the figures in its history, and the figures.

    Raises:
        NumericsError: loss or gradient norm are impossible, or exploded, or a spike ends the run.
        StartAgain: the batch is to be left out, from the last checkpoint on.
    """
    limits, number = run.training.guards, result.number
    total, local, norm = result.figures.read()
    everyone = partial(documents, run, result.parts, True)
    loss = total / result.total_weight
    guards.check_loss(number, loss, partial(documents, run, result.parts, not 0 < local < math.inf))
    spike = guards.spike(number, loss, progress.losses, limits.spike_factor)
    if spike:
        spike = f"{spike}; {guards.named(everyone)}"
        run.skipped.consider(limits, result.position, spike)
    guards.check_gradient_norm(number, norm, progress.gradient_norms, limits.explosion_factor, everyone)
    progress = progress.model_copy(
        update={
            "losses": (*progress.losses, loss)[-guards.HISTORY :],
            "gradient_norms": (*progress.gradient_norms, norm)[-guards.HISTORY :],
        }
    )
    return progress, Reading(result, loss, norm, spike)


def documents(run: Run, parts: tuple[np.ndarray, ...], suspect: bool) -> list[int]:
    """The documents of all suspect ranks' shares of the batch; every rank gets here together and must call it."""
    own = [number for part in parts for number in run.data.documents(part)] if suspect else []
    everyone: list[Any] = [None] * world()
    distributed.all_gather_object(everyone, own)
    return sorted({number for numbers in everyone for number in numbers})


def _clip(engine: Engine, most: float) -> torch.Tensor | None:
    """Clip where the engine does not (ZeRO 0); the gradient's norm before, on the device."""
    if engine.zero_optimization():
        return None
    return torch.nn.utils.clip_grad_norm_(engine.module.parameters(), most)
