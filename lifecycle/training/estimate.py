"""What a training run will need and take, worked out before any GPU is asked for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lifecycle.recipe.training import Architecture, CausalTraining
from lifecycle.training.adapters import adapt, freeze
from lifecycle.training.memory import Memory, checkpoint_bytes, memory
from lifecycle.training.model import llama_config
from lifecycle.training.throughput import FORMULA, Shape, flops_per_token, peak_flops, shape_of


@dataclass(frozen=True)
class Estimate:
    """The needs of one run. Bytes, unless the name says otherwise.

    Attributes:
        tokens: places in all batches, padding included.
        epochs: over the memmap's tokens; None where there is no memmap yet.
        checkpoints: on disk: those that are kept, and the one being written.
        host: of one machine while its processes load the model in float32.
        seconds: of training at the stated MFU; None where the device's peak is not known.
        data: what the steps will see, as names and values in words; empty where there is no memmap yet.
    """

    shape: Shape
    memory: Memory
    steps: int
    tokens: int
    epochs: float | None
    checkpoints: int
    host: int
    seconds: float | None
    gpu_hours: float | None
    data: tuple[tuple[str, str], ...] = ()


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
        checkpoints=checkpoint_bytes(shape, training) * (training.keep_checkpoints + 1),
        host=4 * shape.parameters * training.processes,
        seconds=seconds,
        gpu_hours=seconds * training.processes / 3600 if seconds else None,
    )


def new_shape(architecture: Architecture, vocab_size: int, training: CausalTraining) -> Shape:
    """The shape of a model that does not exist yet; nothing is allocated."""
    return _on_meta(llama_config(architecture, vocab_size), training)


def given_shape(directory: Path, training: CausalTraining) -> Shape:
    """The shape of the model in a Hugging Face folder, from its `config.json` alone."""
    return _on_meta(AutoConfig.from_pretrained(str(directory), local_files_only=True), training)


def _on_meta(config: Any, training: CausalTraining) -> Shape:
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        if training.adapter:
            plain = (
                training.adapter.model_copy(update={"kind": "lora"})
                if training.adapter.kind == "qlora"
                else training.adapter
            )
            adapted: Any = adapt(model, plain, Path(), training.seed).peft.get_base_model()
            return shape_of(adapted)
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
        timed = f"{_duration(found.seconds)}, {found.gpu_hours:,.1f} GPU-hours at {mfu:.0%} MFU of {device}"
    trained = f", {shape.trainable:,} trained" if shape.trainable != shape.parameters else ""
    return [
        ("parameters", f"{shape.parameters:,}{trained}"),
        *((f"{field.name}, per GPU", _size(getattr(found.memory, field.name))) for field in fields(found.memory)),
        ("memory, per GPU", f"{_size(found.memory.total)} and what the allocator adds"),
        ("host memory to load", _size(found.host)),
        ("steps", f"{found.steps:,}"),
        ("tokens", f"{found.tokens:,}" + (f", {found.epochs:.2f} epochs" if found.epochs else "; epochs: no memmap yet")),
        *found.data,
        ("disk for checkpoints", _size(found.checkpoints)),
        ("time", timed),
        ("formula", FORMULA),
    ]


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
