"""Faster blocks: Liger's kernels, compiled blocks, activation checkpointing."""

import importlib.util
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from lifecycle.recipe.training import CausalTraining


def is_compiled(training: CausalTraining, device_type: str) -> bool:
    """Whether blocks are compiled: as the recipe says, else on a GPU."""
    return device_type == "cuda" if training.compile is None else training.compile


def uses_liger(training: CausalTraining, device_type: str) -> bool:
    """Whether Liger's kernels are used: as the recipe says, else on a GPU where liger-kernel is installed."""
    if device_type != "cuda":
        return False
    return importlib.util.find_spec("liger_kernel") is not None if training.liger is None else training.liger


def put_liger(model: PreTrainedModel) -> None:
    """Replace RMSNorm, RoPE and SwiGLU of a decoder by Liger's kernels; not run yet, it needs a GPU.

    The loss is ours (`cross_entropy`). The rotary kernel replaces transformers' own in this process, for this family.
    """
    from liger_kernel.transformers import _apply_liger_kernel_to_instance  # pyright: ignore[reportMissingImports]

    _apply_liger_kernel_to_instance(
        model=model, rope=True, rms_norm=True, swiglu=True, cross_entropy=False, fused_linear_cross_entropy=False
    )


def blocks(model: torch.nn.Module) -> list[GradientCheckpointingLayer]:
    """The decoder's layers, from first to last."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def checkpoint_activations(model: PreTrainedModel, every: int) -> int:
    """Let every `every`-th block, from the first on, keep only its input and compute the rest again in the backward pass.

    Chen et al. 2016 (Training Deep Nets with Sublinear Memory Cost). Returns the number of such blocks; 0 keeps everything.
    """
    chosen = blocks(model)[::every] if every else []
    for block in chosen:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # pyright: ignore[reportArgumentType]
    return len(chosen)


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile each block by itself: all are alike, so that it takes the time of one; not run yet, it is for GPUs."""
    for block in blocks(model):
        block.compile(dynamic=False)
