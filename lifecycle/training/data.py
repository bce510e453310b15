"""What a run trains on, from its memmaps and its recipe: packed sequences, the order of steps, and the balance of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.jobs import TrainingJob
from lifecycle.recipe.fine_tuning import pretraining_sequences
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.balance import Balance, balance_of
from lifecycle.training.batches import BLOCK, Order, PackedDocuments, SampleOrder, Sequences
from lifecycle.training.config import TEXT, CausalJobConfig
from lifecycle.training.guards import check_data
from lifecycle.training.mixture import MixedOrder, Mixture
from lifecycle.training.phases import PhasedOrder, phase_numbers, share_steps
from lifecycle.training.preflight import check_tokenizer


@dataclass(frozen=True)
class TrainingData:
    """All that decides what a step sees and what it weighs; `outline` says it in words."""

    sequences: Sequences
    order: Order
    balance: Balance
    outline: tuple[tuple[str, str], ...]


def open_data(job: TrainingJob, config: CausalJobConfig, memmap: TokenMemmap, tokenizer: Path) -> TrainingData:
    """The data of a job whose first memmap is `memmap`.

    Raises:
        ConfigurationError: tasks, phases or text to mix in are not as the recipe says, or steps pass over them too often.
        DataError: a memmap does not fill one sequence.
    """
    text = None
    if config.fine_tuning.pretraining:
        text = TokenMemmap(job.inputs[TEXT])
        check_tokenizer(text, tokenizer)
    return arrange(config, memmap, text)


def arrange(config: CausalJobConfig, memmap: TokenMemmap, text: TokenMemmap | None) -> TrainingData:
    """The same from memmaps that are open."""
    training, tuning = config.training, config.fine_tuning
    balance = balance_of(tuning.balance, memmap, tuning.pretraining.weight if tuning.pretraining else None)
    phases = phase_numbers(memmap, tuning.phases, training.seed) if tuning.phases else None
    data = PackedDocuments(
        memmap,
        training.sequence_length,
        config.kind,
        groups=phases,
        by_sample=tuning.balance.by_sample,
        tasks=None if balance.plain else _tasks(memmap),
    )
    mixed_in = pretraining_sequences(tuning.pretraining.share, training.global_batch) if tuning.pretraining else 0
    batch = training.global_batch - mixed_in
    check_data(training, data.sequences, batch)
    passes = training.steps * batch / data.sequences
    outline = [("packing", f"{data.sequences:,} sequences, efficiency {data.efficiency:.2%}, {passes:.2f} passes")]
    if memmap.describe.tasks:
        outline.append(("tasks", _tasks_in_words(memmap, balance)))
    order: Order = SampleOrder(data.sequences, batch, training.seed, BLOCK)
    if phases is not None:
        parts = data.per_group(phases)
        steps = share_steps(parts, training.steps)
        order = PhasedOrder(tuple(SampleOrder(part, batch, training.seed, BLOCK) for part in parts), steps)
        outline.append(("phases", _phases_in_words(phases, steps, parts, batch)))
    if text is None:
        return TrainingData(data, order, balance, tuple(outline))
    tasks = None if balance.plain else np.broadcast_to(np.int64(len(balance.tasks) - 1), len(text))
    behind = PackedDocuments(text, training.sequence_length, "pretrain", by_sample=tuning.balance.by_sample, tasks=tasks)
    check_data(training, behind.sequences, mixed_in)
    passes = training.steps * mixed_in / behind.sequences
    words = f"{mixed_in} of {training.global_batch} sequences in each batch, weight {balance.weights[-1]:g} per "
    words += f"{tuning.balance.per}, {passes:.2f} passes; messages number its documents from {len(memmap)} on"
    outline.append(("pretraining text", words))
    mixed = MixedOrder(
        order, SampleOrder(behind.sequences, mixed_in, training.seed, BLOCK), training.global_batch, data.sequences
    )
    return TrainingData(Mixture(data, behind, len(memmap)), mixed, balance, tuple(outline))


def _tasks(memmap: TokenMemmap) -> np.ndarray:
    return np.zeros(len(memmap), dtype=np.int16) if memmap.task is None else np.asarray(memmap.task)


def _tasks_in_words(memmap: TokenMemmap, balance: Balance) -> str:
    counts = np.bincount(_tasks(memmap), minlength=len(memmap.describe.tasks))
    per = "each task a mean of its own" if balance.by_task else "one mean over all"
    decided = ", weights from CoBa" if balance.followed else ""
    named = (
        f"{task} {count:,}" + ("" if weight == 1 else f" (weight {weight:g})")
        for task, count, weight in zip(memmap.describe.tasks, counts, balance.weights, strict=False)
        if count
    )
    return f"{', '.join(named)}; {per}{decided}"


def _phases_in_words(phases: np.ndarray, steps: Sequence[int], sequences: Sequence[int], batch: int) -> str:
    sizes = np.bincount(phases)
    return "; ".join(
        f"{number}: {size:,} conversations, {count} steps, {count * batch / packed:.2f} passes"
        for number, (size, count, packed) in enumerate(zip(sizes, steps, sequences, strict=True), start=1)
    )
