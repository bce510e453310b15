"""Weighted cross-entropy of a linear output layer that never holds all logits.

As in Liger Kernel (Hsu et al. 2024, section 3.2), the gradient is computed together with the loss, chunk by chunk, so that
logits live for one chunk and are not computed twice. Liger's own function is not used: it takes no weight per token but by
computing everything once more (`reduction="none"`), and it reads the number of labels from the device at every call.
"""

from functools import cache
from typing import Any

import torch
from torch import nn


def fused_linear_cross_entropy(
    head: nn.Linear, hidden: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, rows: int, z_loss: float = 0.0
) -> torch.Tensor:
    """sum(weight x (cross-entropy + z_loss x log(Z)^2)) of `head(hidden)`, a float32 scalar; differentiable in `hidden` and
    `head.weight`, once.

    Args:
        head: without a bias, its weight [vocabulary, width] whole on this device.
        hidden: [tokens, width].
        labels: int64 [tokens].
        weights: float32 [tokens].
        rows: tokens whose logits are held at once.
    """
    if not torch.is_grad_enabled():
        return _forward(hidden, head.weight, labels, weights, rows, z_loss, False, False)[0]
    result: Any = _FusedLinearCrossEntropy.apply(hidden, head.weight, labels, weights, rows, z_loss)
    return result


def can_fuse(head: nn.Module) -> bool:
    """Whether the head is a plain matrix that is whole here: no adapter in it, not partitioned by ZeRO-3, not quantized."""
    return type(head) is nn.Linear and head.bias is None and not hasattr(head.weight, "ds_id")


class _FusedLinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, labels: Any, weights: Any, rows: int, z_loss: float) -> torch.Tensor:
        wanted = ctx.needs_input_grad
        total, by_hidden, by_weight = _forward(hidden, weight, labels, weights, rows, z_loss, *wanted[:2])
        ctx.save_for_backward(by_hidden, by_weight)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore
        by_hidden, by_weight = (saved if saved is None else saved * gradient.to(saved.dtype) for saved in ctx.saved_tensors)
        return by_hidden, by_weight, None, None, None, None


def _forward(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    rows: int,
    z_loss: float,
    with_hidden: bool,
    with_weight: bool,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    chunk_loss = _compiled() if hidden.device.type == "cuda" else _chunk_loss
    total = hidden.new_zeros((), dtype=torch.float32)
    by_hidden = torch.empty_like(hidden) if with_hidden else None
    by_weight = torch.zeros_like(weight, dtype=torch.float32) if with_weight else None
    for start in range(0, len(hidden), rows):
        part = slice(start, start + rows)
        logits = hidden[part] @ weight.t()
        loss, gradient = chunk_loss(logits, labels[part], weights[part], z_loss, with_hidden or with_weight)
        total += loss
        if by_hidden is not None:
            by_hidden[part] = gradient @ weight.to(gradient.dtype)
        if by_weight is not None:
            by_weight += gradient.t() @ hidden[part].to(gradient.dtype)
    return total, by_hidden, None if by_weight is None else by_weight.to(weight.dtype)


def _chunk_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, z_loss: float, with_gradient: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted loss of a chunk in float32, and its gradient by the logits in their own type."""
    wide, places = logits.float(), labels[:, None]
    scale = wide.logsumexp(-1, keepdim=True)
    losses = scale - wide.gather(-1, places)
    if z_loss:
        losses = losses + z_loss * scale**2
    loss = (losses.squeeze(-1) * weights).sum()
    if not with_gradient:
        return loss, logits
    gradient = (wide - scale).exp_()
    if z_loss:
        gradient *= 1 + 2 * z_loss * scale
    gradient.scatter_add_(-1, places, gradient.new_full(places.shape, -1.0))
    return loss, (gradient * weights[:, None]).to(logits.dtype)


@cache
def _compiled() -> Any:
    """On a GPU the passes over the logits become two kernels; compiled for each size of a chunk."""
    return torch.compile(_chunk_loss, dynamic=False)
