"""Measuring on held-out text while training: bits per byte, what the best checkpoint is chosen by, and losses by task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from lifecycle.jobs import TrainingJob
from lifecycle.recipe.fine_tuning import Coba
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Batch, PackedDocuments
from lifecycle.training.config import CausalJobConfig
from lifecycle.training.distributed import rank, sum_over_ranks, world
from lifecycle.training.engine import Engine
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.preflight import check_tokenizer

INPUT = "validation"
BITS_PER_BYTE = "validation_bits_per_byte"


@dataclass(frozen=True)
class Measured:
    """Packed sequences that no step trains on, always the same ones, whose losses are added up by group of documents."""

    data: PackedDocuments
    numbers: np.ndarray
    """Of the sequences that are measured."""
    groups: np.ndarray
    """Number of each document's group, int64 [documents]."""
    count: int


@dataclass(frozen=True)
class ValidationSet:
    """What is validated on; a document's group is its task and language."""

    measured: Measured
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    bytes: int
    """UTF-8 bytes of the text that the weighted labels spell."""


@dataclass(frozen=True)
class TaskSet:
    """What CoBa measures: some held-out conversations of each task that is trained on."""

    config: Coba
    measured: Measured
    tasks: tuple[str, ...]


def open_validation(job: TrainingJob, config: CausalJobConfig, tokenizer: Path) -> ValidationSet | None:
    """The held-out memmap: the job's input `validation`, else the folder of that name in its memmap.

    None when the recipe asks for no validation.

    Raises:
        ConfigurationError: there is none, or it was encoded with another tokenizer.
    """
    wanted = config.training.validation
    if wanted is None:
        return None
    memmap = _open(job, tokenizer, "training.validation")
    data = PackedDocuments(memmap, config.training.sequence_length, config.kind)
    sequences = min(wanted.sequences, data.sequences)
    numbers = np.arange(sequences) * data.sequences // sequences
    text = _bytes(data.batch(numbers), AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True))
    if not text:
        raise ConfigurationError(
            f"{memmap.path}: no label of {sequences} of its sequences has weight; nothing can be measured"
        )
    tasks, languages = memmap.describe.tasks, memmap.describe.languages
    none = np.zeros(len(memmap), dtype=np.int64)
    task, language = (none if labels is None else np.asarray(labels) for labels in (memmap.task, memmap.language))
    width = max(1, len(languages))
    measured = Measured(data, numbers, task * width + language, max(1, len(tasks)) * width)
    return ValidationSet(measured, tasks, languages, text)


def open_tasks(job: TrainingJob, config: CausalJobConfig, tokenizer: Path, followed: Sequence[int]) -> TaskSet | None:
    """The first `coba.conversations` held-out conversations of each of the tasks with these numbers; None without CoBa.

    Raises:
        ConfigurationError: there are none, or none of a task.
    """
    coba = config.fine_tuning.balance.coba
    if coba is None:
        return None
    memmap = _open(job, tokenizer, "balance.coba")
    assert memmap.task is not None
    groups = np.full(len(memmap), -1)
    for group, task in enumerate(followed):
        groups[np.flatnonzero(memmap.task == task)[: coba.conversations]] = group
    names = tuple(memmap.describe.tasks[task] for task in followed)
    missing = [name for group, name in enumerate(names) if not (groups == group).any()]
    if missing:
        raise ConfigurationError(
            f"balance.coba: no conversation of {', '.join(missing)} is held out in {memmap.path}; raise sft.heldout.share"
        )
    data = PackedDocuments(memmap, config.training.sequence_length, config.kind, groups=np.where(groups < 0, -1, 0))
    return TaskSet(coba, Measured(data, np.arange(data.sequences), groups, len(names)), names)


def measure(engine: Engine, measured: Measured, micro_batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats and weighted labels of each group, float64 [groups] each; every rank must call it.

    All ranks do the same number of forward passes, as ZeRO-3 demands; what is too much has no weight.
    """
    total = len(measured.numbers)
    sums = np.zeros((2, measured.count))
    was_training = engine.training
    engine.eval()
    try:
        with torch.no_grad():
            for index in range(math.ceil(total / (world() * micro_batch))):
                places = (index * world() + rank()) * micro_batch + np.arange(micro_batch)
                numbers = measured.numbers[np.minimum(places, total - 1)]
                batch = measured.data.batch(numbers)
                moved = batch.to(engine.device)
                losses = engine(moved.ids, moved.positions, moved.segments, moved.labels, None).double().cpu().numpy()
                weights = batch.weights.double().numpy() * (places < total)[:, None]
                counted = weights > 0
                groups = measured.groups[measured.data.document_of_places(numbers)[counted]]
                sums[0] += np.bincount(groups, (losses * weights)[counted], measured.count)
                sums[1] += np.bincount(groups, weights[counted], measured.count)
    finally:
        engine.train(was_training)
    nats, labels = np.array(sum_over_ranks(engine.device, *sums.ravel())).reshape(2, -1)
    return nats, labels


def validate(engine: Engine, held_out: ValidationSet, micro_batch: int) -> dict[str, float]:
    """Bits per byte of the held-out text, and nats per trained token of each task and language that it has; every rank must
    call it. Of a text without tasks there are the bits per byte alone."""
    nats, labels = measure(engine, held_out.measured, micro_batch)
    found = {BITS_PER_BYTE: float(nats.sum()) / math.log(2) / held_out.bytes}
    shape = max(1, len(held_out.tasks)), max(1, len(held_out.languages))
    for kind, names, axis in (("task", held_out.tasks, 1), ("language", held_out.languages, 0)):
        sums = nats.reshape(shape).sum(axis=axis), labels.reshape(shape).sum(axis=axis)
        for name, some, count in zip(names, *sums, strict=True) if names else ():
            if count:
                found[f"validation_loss/{kind}/{name}"] = float(some / count)
    return found


def task_losses(engine: Engine, tasks: TaskSet, micro_batch: int) -> list[float]:
    """Nats per trained token of each task; every rank must call it."""
    nats, labels = measure(engine, tasks.measured, micro_batch)
    return (nats / labels).tolist()


def _open(job: TrainingJob, tokenizer: Path, asked_by: str) -> TokenMemmap:
    path = Path(job.inputs.get(INPUT, str(Path(job.inputs["memmap"]) / INPUT)))
    if not path.is_dir():
        raise ConfigurationError(
            f"{asked_by}: {path} does not exist; give the job an input `{INPUT}` (a memmap of held-out documents), "
            f"or leave {asked_by} out"
        )
    memmap = TokenMemmap(path)
    check_tokenizer(memmap, tokenizer)
    return memmap


def _bytes(batch: Batch, tokenizer: Any) -> int:
    spelt = [labels[weights > 0].tolist() for labels, weights in zip(batch.labels, batch.weights, strict=True)]
    return sum(len(tokenizer.decode(ids, skip_special_tokens=True).encode()) for ids in spelt)
