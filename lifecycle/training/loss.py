"""Token-weighted cross-entropy over packed documents, and the z-loss beside it."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from lifecycle.training.attention import inside_segments, reads_lengths
from lifecycle.training.cross_entropy import can_fuse, fused_linear_cross_entropy

CHUNK_LOGITS = 2**27
"""Most logits held at once: above this the output layer runs in chunks."""


class WeightedLoss(nn.Module):
    """A causal language model whose forward pass ends in the weighted sum of its loss.

    Keeping the loss inside lets `torch.compile` fuse the fp32 softmax with the output layer: on a small vocabulary of
    4,096 entries that, and not the layers, is where a third of an eager step goes.
    """

    def __init__(self, model: PreTrainedModel, z_loss: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self._z_loss = z_loss
        self._vocabulary = model.config.get_text_config().vocab_size

    def forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        segments: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        """sum(weight x (cross-entropy + z_loss x log(Z)^2)) in fp32, a scalar; without weights, which is for measuring, the
        cross-entropy of every label [sequences, sequence_length]. All inputs are of that shape, as in `Batch`."""
        hidden = hidden_states(self.model, ids, positions, segments).flatten(0, 1)
        head: Any = self.model.get_output_embeddings()
        rows = max(1, CHUNK_LOGITS // self._vocabulary)
        chunks = hidden.split(rows), labels.flatten().split(rows)
        if weights is None:
            return torch.cat([cross_entropies(head, *chunk) for chunk in zip(*chunks, strict=True)]).view_as(labels)
        if len(hidden) <= rows and hidden.device.type == "cpu":
            return weighted_cross_entropy(head, hidden, labels.flatten(), weights.flatten(), self._z_loss)
        if can_fuse(head):
            return fused_linear_cross_entropy(head, hidden, labels.flatten(), weights.flatten(), rows, self._z_loss)
        total = hidden.new_zeros((), dtype=torch.float32)
        for chunk in zip(*chunks, weights.flatten().split(rows), strict=True):
            total = total + checkpoint(weighted_cross_entropy, head, *chunk, self._z_loss, use_reentrant=False)
        return total


def hidden_states(
    model: PreTrainedModel, ids: torch.Tensor, positions: torch.Tensor, segments: torch.Tensor
) -> torch.Tensor:
    """The last hidden states [sequences, sequence_length, hidden], no segment seeing another."""
    implementation, shape = str(model.config._attn_implementation), ids.shape
    if reads_lengths(implementation):
        ids, positions = ids.view(1, -1), positions.view(1, -1)
    isolated = inside_segments(implementation, segments, ids.device, model.dtype)
    found = model.base_model(input_ids=ids, position_ids=positions, use_cache=False, **isolated)
    return found.last_hidden_state.view(*shape, -1)


def weighted_cross_entropy(
    head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, z_loss: float = 0.0
) -> torch.Tensor:
    """sum(weight x (cross-entropy + z_loss x log(Z)^2)) of `head(hidden)` [tokens, vocabulary], in fp32.

    Z is the softmax's normalizer, sum(exp(logit)); the term draws log(Z) towards 0 (Chowdhery et al. 2022, PaLM, section 5,
    with a factor of 1e-4). It carries the label's weight, so that it is divided by the same total as the cross-entropy.
    """
    logits = head(hidden).float()
    losses = functional.cross_entropy(logits, labels, reduction="none")
    if z_loss:
        losses = losses + z_loss * torch.logsumexp(logits, -1) ** 2
    return (losses * weights).sum()


def cross_entropies(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of every label in fp32 [tokens]."""
    return functional.cross_entropy(head(hidden).float(), labels, reduction="none")


def engine_scale(total_weight: float, world: int, accumulation: int) -> float:
    """The factor that turns a rank's weighted sum into what the engine must be given.

    The engine averages over ranks and accumulation steps; multiplied by their number, the result is the plain sum over
    the global batch divided by its total weight, however the batch is split.
    """
    return world * accumulation / total_weight
