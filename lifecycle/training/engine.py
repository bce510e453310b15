"""The DeepSpeed engine around a model: our AdamW, ZeRO, bf16 with fp32 master weights; never fp16, never a scheduler."""

import logging
from typing import Any, TypeAlias

import deepspeed
import torch
from transformers import PreTrainedModel

from lifecycle.recipe.training import CausalTraining
from lifecycle.training.loss import WeightedLoss
from lifecycle.training.model import parameter_groups, training_attention

Engine: TypeAlias = Any
"""A `deepspeed.DeepSpeedEngine`; its attributes carry no usable types."""


def accumulation_steps(training: CausalTraining) -> int:
    """Forward passes per optimizer step on one rank."""
    return training.global_batch // (training.processes * training.micro_batch)


def engine_config(training: CausalTraining) -> dict[str, Any]:
    """The DeepSpeed configuration. It has no `scheduler` and no `optimizer`: the loop sets the rate, we bring AdamW."""
    config: dict[str, Any] = {
        **training.deepspeed,
        "train_batch_size": training.global_batch,
        "train_micro_batch_size_per_gpu": training.micro_batch,
        "gradient_accumulation_steps": accumulation_steps(training),
        "gradient_clipping": training.optimization.gradient_clip,
        "zero_optimization": {**training.deepspeed.get("zero_optimization", {}), "stage": training.zero_stage},
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": None,
    }
    if training.precision == "bf16" and training.zero_stage > 0:
        # Gradients are added up in fp32: in bf16 the result would depend on how the global batch is split.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def start_engine(model: PreTrainedModel, training: CausalTraining, device_type: str) -> Engine:
    """Hand the model to DeepSpeed; every rank must call it with the same weights."""
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    optimization = training.optimization
    optimizer = torch.optim.AdamW(
        parameter_groups(model, optimization.weight_decay),
        lr=optimization.learning_rate,
        betas=(optimization.beta1, optimization.beta2),
        eps=1e-8,
        fused=True,
    )
    model.set_attn_implementation(training_attention(training.compile, device_type, training.sequence_length))
    module = WeightedLoss(model, training.z_loss)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    engine: Engine
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=engine_config(training))
    _restore_buffers(engine.module, buffers)
    if training.compile:
        engine.module.compile(dynamic=False)
    return engine


def set_learning_rate(engine: Engine, rate: float) -> None:
    """Give every parameter group this learning rate."""
    for group in engine.optimizer.param_groups:
        group["lr"] = rate


def _restore_buffers(module: torch.nn.Module, buffers: dict[str, torch.Tensor]) -> None:
    """Undo the engine's cast of buffers: rotary frequencies rounded to bf16 turn far positions by up to half a radian,
    and the reloaded model, which computes them in fp32, would not be the one that was trained."""
    for name, buffer in list(module.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        module.get_submodule(owner)._buffers[leaf] = buffers[name].to(buffer.device)
