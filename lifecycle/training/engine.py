"""The DeepSpeed engine around a model: our AdamW, ZeRO, bf16 with fp32 master weights; never fp16, never a scheduler."""

import logging
from typing import Any, TypeAlias

import deepspeed
import torch
from transformers import PreTrainedModel

from lifecycle.collection import frozen
from lifecycle.recipe.training import CausalTraining
from lifecycle.training.attention import Attention, choose, machine
from lifecycle.training.background import BackgroundWriter
from lifecycle.training.frozen import leave_frozen_out
from lifecycle.training.kernels import checkpoint_activations, compile_blocks, is_compiled, put_liger, uses_liger
from lifecycle.training.loss import WeightedLoss
from lifecycle.training.model import parameter_groups

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
        # Without ZeRO the loop clips: the engine would, and throw the norm away that the guards need.
        "gradient_clipping": training.optimization.gradient_clip if training.zero_stage else 0.0,
        "zero_optimization": {**training.deepspeed.get("zero_optimization", {}), "stage": training.zero_stage},
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": None,
    }
    if training.precision == "bf16" and training.zero_stage > 0:
        # Gradients are added up in fp32, in a rank and over ranks: in bf16 the result would depend on how the global batch
        # is split. A preset may say otherwise for the ranks, where the network is what a run waits for.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
        config.setdefault("communication_data_type", "fp32")
    return config


def start_engine(model: PreTrainedModel, training: CausalTraining, device: torch.device) -> Engine:
    """Hand the model to DeepSpeed; every rank must call it with the same weights."""
    attention = chosen_attention(training, device)
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    optimization = training.optimization
    optimizer = torch.optim.AdamW(
        parameter_groups(model, optimization.weight_decay),
        lr=optimization.learning_rate,
        betas=(optimization.beta1, optimization.beta2),
        eps=1e-8,
        fused=True,
    )
    model.set_attn_implementation(attention.implementation)
    if uses_liger(training, device.type):
        put_liger(model)
    checkpoint_activations(model, training.checkpoint_activations)
    module = WeightedLoss(model, training.z_loss)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    leave_frozen_out(module)
    engine: Engine
    with frozen():  # it collects garbage at each of six reports of memory: 2 s, in which nothing is found
        engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=engine_config(training))
    _restore_buffers(engine.module, buffers)
    engine.checkpoint_engine = BackgroundWriter(engine._config)
    if training.processes == 1 and training.zero_stage < 2 and not hasattr(engine.optimizer, "reduce_gradients"):
        engine.enable_backward_allreduce = False  # it would copy all gradients to add them to nothing
    if is_compiled(training, device.type):
        if device.type == "cuda":
            compile_blocks(model)
        else:
            engine.module.compile(dynamic=False)
    return engine


def chosen_attention(training: CausalTraining, device: torch.device) -> Attention:
    """What this run attends with, and why."""
    compiled = is_compiled(training, device.type)
    return choose(machine(device), training.precision, compiled, training.sequence_length)


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
