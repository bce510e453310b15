"""What a training run will need and take, worked out before any GPU is asked for."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from lifecycle.recipe.preference_training import AlignmentTraining, DpoConfig, KtoConfig, RewardModelConfig
from lifecycle.recipe.training import Architecture, CausalTraining
from lifecycle.training.adapters import adapt, freeze
from lifecycle.training.memory import (
    Memory,
    checkpoint_bytes,
    device_bytes,
    disk_bytes,
    largest_micro_batch,
    memory,
    preference_disk_bytes,
    preference_memory,
)
from lifecycle.training.model import llama_config
from lifecycle.training.throughput import FORMULA, Shape, flops_per_token, forward_flops_per_token, peak_flops, shape_of
from lifecycle.words import duration

OnPreferences = DpoConfig | KtoConfig | RewardModelConfig
Training = CausalTraining | OnPreferences


@dataclass(frozen=True)
class Estimate:
    """The needs of one run. Bytes, unless the name says otherwise.

    Attributes:
        tokens: places in all batches, padding included.
        epochs: over the memmap's tokens; None where there is no memmap yet.
        checkpoints: on disk, at their worst.
        host: of one machine: while its processes load the model in float32, and later for the copy of a checkpoint that is
            written in the background.
        seconds: of training at the stated MFU; None where the device's peak is not known.
        notes: names and words of what else there is to say.
    """

    shape: Shape
    memory: Memory
    steps: int | None
    tokens: int | None
    epochs: float | None
    checkpoints: int
    host: int
    seconds: float | None
    gpu_hours: float | None
    notes: tuple[tuple[str, str], ...] = ()


def estimate(
    shape: Shape, training: CausalTraining, device: str | None = None, mfu: float = 0.4, tokens: int | None = None
) -> Estimate:
    """What `training` of a model of this shape needs.

    Time is FLOPs over the peak of all devices times `mfu` (Chowdhery et al. 2022, appendix B).

    Args:
        device: name of the GPU, as in `peak_flops`.
        mfu: share of the peak that is expected; 0.4 to 0.5 is what well-tuned runs of this size publish.
        tokens: in the memmap.
    """
    places = training.steps * training.global_batch * training.sequence_length
    peak = peak_flops(device)
    seconds = None
    if peak:
        seconds = places * flops_per_token(shape, training.sequence_length) / (training.processes * peak * mfu)
    return Estimate(
        shape=shape,
        memory=memory(shape, training),
        steps=training.steps,
        tokens=places,
        epochs=places / tokens if tokens else None,
        checkpoints=disk_bytes(shape, training),
        host=max(4 * shape.parameters * training.processes, checkpoint_bytes(shape, training)),
        seconds=seconds,
        gpu_hours=seconds * training.processes / 3600 if seconds else None,
        notes=_room(shape, training, device),
    )


def _room(shape: Shape, training: CausalTraining, device: str | None) -> tuple[tuple[str, str], ...]:
    """Whether the run fits into one device, and the micro-batch to try."""
    room = device_bytes(device)
    if room is None:
        return ()
    largest = largest_micro_batch(shape, training, room)
    if largest is None:
        said = "NO, with no micro-batch: raise zero_stage or processes, or shorten sequence_length"
    elif largest < training.micro_batch:
        said = f"NO: try micro_batch {largest} (results stay the same)"
    else:
        said = f"yes; micro_batch {training.micro_batch}, up to {largest} would fit"
    return ((f"fits into {room / 1e9:.0f} GB", said),)


def preference_estimate(shape: Shape, training: OnPreferences, device: str | None, mfu: float, rows: int | None) -> Estimate:
    """What a training on preferences of a model of this shape needs; steps, tokens and time are known once there are rows.

    An answer is at most `max_length` tokens with its prompt, so that tokens and time are upper bounds.

    Args:
        rows: pairs, or for KTO labelled answers.
    """
    unit = "pairs" if training.answers == 2 else "labelled answers"
    notes = ((unit, "unknown: none made yet" if rows is None else f"{rows:,}"),)
    if isinstance(training, AlignmentTraining):
        notes += (("reference", "log-probabilities once before training; no second model is held"),)
    steps = seconds = places = None
    if rows is not None:
        steps = training.steps(rows)
        places = steps * training.global_batch * training.answers * training.max_length
        peak = peak_flops(device)
        if peak:
            work = places * flops_per_token(shape, training.max_length)
            work += _without_gradients(training, rows, steps) * forward_flops_per_token(shape, training.max_length)
            seconds = work / (training.processes * peak * mfu)
    return Estimate(
        shape=shape,
        memory=preference_memory(shape, training),
        steps=steps,
        tokens=places,
        epochs=training.epochs,
        checkpoints=preference_disk_bytes(shape, training),
        host=4 * shape.parameters * training.processes,
        seconds=seconds,
        gpu_hours=seconds * training.processes / 3600 if seconds else None,
        notes=notes,
    )


def _without_gradients(training: OnPreferences, rows: int, steps: int) -> int:
    """Tokens that pass through the model without being trained on: the reference's, once, and twice (by model and
    reference) the mismatched answers from which KTO takes its divergence."""
    if not isinstance(training, AlignmentTraining):
        return 0
    answers = training.answers * rows
    if isinstance(training, KtoConfig) and training.loss_type == "kto":
        answers += 2 * steps * training.global_batch
    return answers * training.max_length


def new_shape(architecture: Architecture, vocab_size: int, training: Training) -> Shape:
    """The shape of a model that does not exist yet, as `training` has it; nothing is allocated."""
    return _on_meta(llama_config(architecture, vocab_size), training)


def given_shape(directory: Path, training: Training, new_pieces: int = 0) -> Shape:
    """The same of the model in a Hugging Face folder, from its `config.json`; its vocabulary grown by `new_pieces`."""
    config = AutoConfig.from_pretrained(str(directory), local_files_only=True)
    config.get_text_config().vocab_size += new_pieces
    return _on_meta(config, training)


def _on_meta(config: Any, training: Training) -> Shape:
    """`training` may freeze weights, add an adapter, or have one output in place of a vocabulary."""
    with torch.device("meta"):
        if isinstance(training, RewardModelConfig):
            config.num_labels = 1
            scorer = AutoModelForSequenceClassification.from_config(config)
            return replace(shape_of(scorer), vocabulary=1, lookup=scorer.get_input_embeddings().weight.numel())
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        if training.adapter:
            kind = "lora" if training.adapter.kind == "qlora" else training.adapter.kind
            plain = training.adapter.model_copy(update={"kind": kind})
            adapted: Any = adapt(model, plain, Path(), training.seed).peft.get_base_model()
            return shape_of(adapted)
    if isinstance(training, CausalTraining):
        freeze(model, training.freeze)
    return shape_of(model)


def render(title: str, found: Estimate, device: str | None, mfu: float) -> Table:
    """The estimate as a table for the terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    for name, value in rows(found, device, mfu):
        table.add_row(name, value)
    return table


def rows(found: Estimate, device: str | None, mfu: float) -> list[tuple[str, str]]:
    """The estimate as names and values in words."""
    shape = found.shape
    timed = f"unknown: no peak is known of {device}" if device else "unknown: name the GPU with --device"
    if found.seconds:
        timed = f"{duration(found.seconds)}, {found.gpu_hours:,.1f} GPU-hours at {mfu:.0%} MFU of {device}"
    trained = f", {shape.trainable:,} trained" if shape.trainable != shape.parameters else ""
    return [
        ("parameters", f"{shape.parameters:,}{trained}"),
        *((f"{field.name}, per GPU", _size(getattr(found.memory, field.name))) for field in fields(found.memory)),
        ("memory, per GPU", f"{_size(found.memory.total)} and what the allocator adds"),
        ("host memory", _size(found.host)),
        ("steps", "unknown" if found.steps is None else f"{found.steps:,}"),
        ("tokens", _tokens(found)),
        ("disk for checkpoints", _size(found.checkpoints)),
        ("time", timed),
        ("formula", FORMULA),
        *found.notes,
    ]


def _tokens(found: Estimate) -> str:
    if found.tokens is None:
        return "unknown"
    return f"{found.tokens:,}" + (f", {found.epochs:.2f} epochs" if found.epochs else "; epochs: no memmap yet")


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count / 1e3:,.1f} kB"
