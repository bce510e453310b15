"""What a training run will need and take, worked out before any GPU is asked for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.recipe.training import Architecture, CausalTraining
from lifecycle.training.adapters import adapt, freeze
from lifecycle.training.memory import (
    Memory,
    checkpoint_bytes,
    device_bytes,
    disk_bytes,
    largest_micro_batch,
    memory,
    preference_memory,
    preference_optimizer_bytes,
)
from lifecycle.training.model import llama_config
from lifecycle.training.throughput import FORMULA, Shape, flops_per_token, peak_flops, shape_of
from lifecycle.words import duration


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


def preference_estimate(shape: Shape, dpo: DpoConfig, device: str | None, mfu: float, pairs: int | None) -> Estimate:
    """What DPO of a model of this shape needs; steps, tokens and time are known once there are pairs.

    A pair is two answers of at most `max_length` tokens behind its prompt, so that tokens and time are upper bounds. The
    reference's forward pass, once over all pairs, is a third of a training pass.
    """
    steps = seconds = places = None
    if pairs is not None:
        steps = dpo.steps(pairs)
        places = steps * dpo.global_batch * 2 * dpo.max_length
        peak = peak_flops(device)
        once = 2 * pairs * dpo.max_length / 3
        if peak:
            seconds = (places + once) * flops_per_token(shape, dpo.max_length) / (dpo.processes * peak * mfu)
    saved = 4 * shape.parameters + preference_optimizer_bytes(shape, dpo)
    return Estimate(
        shape=shape,
        memory=preference_memory(shape, dpo),
        steps=steps,
        tokens=places,
        epochs=dpo.epochs,
        checkpoints=3 * saved,  # TRL keeps two, and writes the third before it removes one
        host=4 * shape.parameters * dpo.processes,
        seconds=seconds,
        gpu_hours=seconds * dpo.processes / 3600 if seconds else None,
        notes=(
            ("pairs", "unknown: no preference_pairs yet" if pairs is None else f"{pairs:,}"),
            ("reference", "log-probabilities once before training; no second model is held"),
        ),
    )


def new_shape(architecture: Architecture, vocab_size: int, training: CausalTraining | None) -> Shape:
    """The shape of a model that does not exist yet; nothing is allocated."""
    return _on_meta(llama_config(architecture, vocab_size), training)


def given_shape(directory: Path, training: CausalTraining | None, new_pieces: int = 0) -> Shape:
    """The shape of the model in a Hugging Face folder, from its `config.json`; its vocabulary grown by `new_pieces`."""
    config = AutoConfig.from_pretrained(str(directory), local_files_only=True)
    config.get_text_config().vocab_size += new_pieces
    return _on_meta(config, training)


def _on_meta(config: Any, training: CausalTraining | None) -> Shape:
    """`training` may freeze weights or add an adapter; None changes nothing."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        if training and training.adapter:
            plain = (
                training.adapter.model_copy(update={"kind": "lora"})
                if training.adapter.kind == "qlora"
                else training.adapter
            )
            adapted: Any = adapt(model, plain, Path(), training.seed).peft.get_base_model()
            return shape_of(adapted)
    if training:
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
