"""Low-rank adapters through PEFT, and frozen parts: what a run may change, and what it leaves when it is done.

LoRA and DoRA run anywhere. QLoRA holds the frozen weights in 4 bits (bitsandbytes); it is meant for GPUs, and has not
been run on one by us.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import distributed
from transformers import BitsAndBytesConfig, PreTrainedModel

from lifecycle.errors import CorruptArtifactError
from lifecycle.pretrained import ATTENTION, device, load_model
from lifecycle.recipe.adaptation import Adapter
from lifecycle.training.batches import Batch, Sequences
from lifecycle.training.distributed import rank
from lifecycle.training.engine import Engine
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.export import copy_tokenizer, gather_weights, logits_of, verify
from lifecycle.training.imports import uncompiled

if TYPE_CHECKING:  # PEFT brings bitsandbytes and the compiler along: seconds that a run without an adapter need not spend
    from peft import PeftModel

DIRECTORY = "adapter"
FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before the names of the model that it wraps."""
ROUNDING = 0.05
"""Share of the largest logit by which a model may differ once its weights are rounded to bf16 (8 bits of precision), or are
multiplied by other 4-bit kernels (bitsandbytes repacks weights on the CPU)."""


@dataclass(frozen=True)
class Adapted:
    """A model with an adapter in it.

    Attributes:
        peft: PEFT's view of the model; the model itself, with the adapter's layers in place, is `peft.get_base_model()`.
        adapter: what the recipe asked for.
        directory: the unadapted model.
    """

    peft: "PeftModel"
    adapter: Adapter
    directory: Path


def quantization(adapter: Adapter | None) -> dict[str, Any]:
    """Arguments of `from_pretrained` that load the frozen weights in 4-bit NormalFloat (Dettmers et al. 2023), for QLoRA.

    Raises:
        ConfigurationError: QLoRA is asked for and bitsandbytes is not installed.
    """
    if adapter is None or adapter.kind != "qlora":
        return {}
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "training.adapter.kind qlora needs the package bitsandbytes; install it or use kind lora"
        ) from error
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device()}}


def adapt(model: PreTrainedModel, adapter: Adapter, directory: Path, seed: int) -> Adapted:
    """Freeze `model`, read from `directory`, and put an adapter into it, in place; A is drawn from `seed` alone, B is 0.

    Raises:
        ConfigurationError: the model has none of `adapter.targets`.
    """
    with uncompiled():
        from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.targets) or "all-linear",
        use_dora=adapter.kind == "dora",
    )
    if adapter.kind == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            peft = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise ConfigurationError(f"training.adapter.targets {list(adapter.targets)}: {error}") from error
    assert isinstance(peft, PeftModel)
    return Adapted(peft, adapter, directory)


def freeze(model: PreTrainedModel, patterns: tuple[str, ...]) -> int:
    """Keep the parameters whose names match any pattern from training; the number of weights frozen.

    Raises:
        ConfigurationError: a pattern matches nothing, or nothing is left to train.
    """
    named = list(model.named_parameters())
    for pattern in patterns:
        matches = [parameter for name, parameter in named if fnmatchcase(name, pattern)]
        if not matches:
            raise ConfigurationError(
                f"training.freeze: {pattern!r} matches no parameter; they are called {named[0][0]}, {named[1][0]}, …, "
                f"{named[-1][0]}"
            )
        for parameter in matches:
            parameter.requires_grad_(False)
    if all(not parameter.requires_grad for _, parameter in named):
        raise ConfigurationError("training.freeze: nothing is left to train")
    return sum(parameter.numel() for _, parameter in named if not parameter.requires_grad)


def export_adapted(engine: Engine, adapted: Adapted, data: Sequences, tokenizer: Path, out: Path) -> dict[str, Any]:
    """Write the merged model and its tokenizer into `out`, and the adapter into `out/adapter`; every rank must call it.

    Returns:
        On rank 0, facts of the adapter: tensors, trained weights, bytes; elsewhere nothing.

    Raises:
        CorruptArtifactError: what was saved is not what was trained: tensors are missing, empty or untrained, or the
            reloaded adapter or the merged model gives other logits.
    """
    model = engine.module.model
    model.set_attn_implementation(ATTENTION)
    batch = data.batch(np.arange(1)).to(engine.device)
    reference = logits_of(model, batch)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = gather_weights(engine, lambda name: name in trained)
    facts: dict[str, Any] = {}
    if rank() == 0:
        directory = out / DIRECTORY
        tensors = save_adapter(adapted.peft, weights, directory)
        dtype = next(iter(weights.values())).dtype
        check_adapter(directory, tensors)
        reloaded = _with_adapter(adapted, directory, dtype, quantization(adapted.adapter)).to(engine.device)
        share = ROUNDING if adapted.adapter.kind == "qlora" else 1e-3
        verify(reference, logits_of(_model(reloaded), batch), directory, share)
        del reloaded
        merge(adapted, directory, dtype, batch, out)
        copy_tokenizer(tokenizer, out)
        count = sum(tensor.numel() for tensor in tensors.values())
        size = (directory / FILE).stat().st_size
        facts = {"adapter": adapted.adapter.kind, "adapter_tensors": len(tensors)}
        facts |= {"adapter_parameters": count, "adapter_bytes": size}
    distributed.barrier()
    return facts


def save_adapter(peft: "PeftModel", weights: dict[str, torch.Tensor], directory: Path) -> dict[str, torch.Tensor]:
    """Write the adapter from the whole `weights` of the model, by the model's own names; what the file must hold.

    PEFT would read the module's own parameters, which under ZeRO-3 are empty: its file then has every name, and no numbers.
    """
    from peft import get_peft_model_state_dict

    whole = {PREFIX + name: tensor for name, tensor in weights.items()}
    config = peft.peft_config["default"]
    config.base_model_name_or_path = ""  # else a path of this machine, on which the artifact's bytes must not depend
    peft.save_pretrained(str(directory), state_dict=whole)
    for unwanted in directory.glob("README*"):
        unwanted.unlink()
    return get_peft_model_state_dict(peft, state_dict=whole)


def check_adapter(directory: Path, expected: dict[str, torch.Tensor]) -> None:
    """Raises CorruptArtifactError unless the saved file holds every tensor, in full, and every B has been trained."""
    path = directory / FILE
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if set(found) != set(expected):
        missing = sorted(set(expected) ^ set(found))
        raise CorruptArtifactError(
            f"{path}: holds {len(found)} tensors of {len(expected)}; the first that differs: {missing[0]}"
        )
    for name, tensor in found.items():
        if tensor.numel() == 0 or not torch.equal(tensor, expected[name].cpu()):
            raise CorruptArtifactError(f"{path}: {name} is {'empty' if tensor.numel() == 0 else 'not what was trained'}")
        if "lora_B" in name and not tensor.any():
            raise CorruptArtifactError(
                f"{path}: {name} is 0 everywhere: this part of the adapter was never trained "
                "(is the learning rate 0, or the module out of use?)"
            )
    if not any("lora_B" in name for name in found):
        raise CorruptArtifactError(f"{path}: holds no lora_B tensor at all")


def merge(adapted: Adapted, directory: Path, dtype: torch.dtype, batch: Batch, out: Path) -> None:
    """Add the adapter to the weights in float32, save the sum in `dtype`, and hold both against the unmerged logits.

    A 4-bit model is never merged: the adapter is added to the weights that were quantized, as Dettmers et al. do.
    """
    full = _with_adapter(adapted, directory, torch.float32, {}).to(batch.ids.device)
    unmerged = logits_of(_model(full), batch)
    merged: PreTrainedModel = full.merge_and_unload(safe_merge=True)  # pyright: ignore[reportCallIssue]
    verify(unmerged, logits_of(merged, batch), out)
    merged.to(dtype).save_pretrained(str(out), max_shard_size="5GB")  # pyright: ignore[reportArgumentType]
    reloaded = load_model(out).to(batch.ids.device)  # pyright: ignore[reportArgumentType]
    verify(unmerged, logits_of(reloaded, batch), out, share=ROUNDING if dtype != torch.float32 else 1e-3)


def _with_adapter(adapted: Adapted, directory: Path, dtype: torch.dtype, arguments: dict[str, Any]) -> "PeftModel":
    """The unadapted model, read as `begin` reads it, with the saved adapter, its parameters cast as the engine casts them.

    Buffers keep float32, as in training; weights of 4 bits are no floating-point numbers, and stay.
    """
    from peft import PeftModel

    base = load_model(adapted.directory, torch.float32, **arguments)
    peft = PeftModel.from_pretrained(base, str(directory), autocast_adapter_dtype=False)
    for parameter in peft.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    return peft


def _model(peft: "PeftModel") -> PreTrainedModel:
    model: Any = peft.get_base_model()
    return model
