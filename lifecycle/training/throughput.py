"""How much work a token is, and what share of the device's peak is reached."""

from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedModel

PEAK_BF16_FLOPS: tuple[tuple[str, float], ...] = (
    ("GB200", 2500e12),
    ("B300", 2250e12),
    ("B200", 2250e12),
    ("GH200", 989e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("H20", 148e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("L20", 119e12),
    ("L4", 121e12),
    ("A40", 150e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("MI300X", 1307e12),
    ("MI250X", 383e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)
"""Dense bf16 peak by device name, most specific first, from the vendor's data sheets (without sparsity)."""

FORMULA = "FLOPs per token = 6·N (4·N where frozen) + 6·L·d·T, causal, recomputation left out"


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that decide its work and memory.

    Attributes:
        parameters: all weights; tied ones count once.
        trainable: those that are trained.
        lookup: weights of an untied input embedding, which multiply nothing.
        attention: heads times the size of a head.
        key_values: the same of keys.
    """

    parameters: int
    trainable: int
    lookup: int
    vocabulary: int
    layers: int
    hidden: int
    attention: int
    key_values: int
    intermediate: int


def shape_of(model: PreTrainedModel) -> Shape:
    """The shape of any decoder of transformers, with the adapter that is in it; it may be on the meta device."""
    config: Any = model.config.get_text_config()
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    own: Any = model
    trained = own.num_parameters(only_trainable=True)
    frozen = sum(_elements(p) for p in model.parameters() if not p.requires_grad)
    embedding: Any = model.get_input_embeddings()
    return Shape(
        parameters=trained + frozen,
        trainable=trained,
        lookup=0 if config.tie_word_embeddings else embedding.weight.numel(),
        vocabulary=config.vocab_size,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        attention=heads * head,
        key_values=(getattr(config, "num_key_value_heads", None) or heads) * head,
        intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
    )


def _elements(parameter: Any) -> int:
    """Weights in a tensor; of bitsandbytes' 4-bit storage two to a byte."""
    return parameter.numel() * (2 if type(parameter).__name__ == "Params4bit" else 1)


def peak_flops(device_name: str | None) -> float | None:
    """Dense bf16 peak of a device in FLOP/s, or None when it is not known: an unknown peak is never guessed."""
    if device_name is None:
        return None
    words = device_name.replace("-", " ").split()
    for name, peak in PEAK_BF16_FLOPS:
        if set(name.split()) <= set(words):
            return peak
    return None


def forward_flops_per_token(shape: Shape, sequence_length: int) -> float:
    """FLOPs per token of a pass without gradients: a third of those of training all weights."""
    return flops_per_token(replace(shape, trainable=shape.parameters), sequence_length) / 3


def flops_per_token(shape: Shape, sequence_length: int) -> float:
    """Training FLOPs per token: 6N + 6·L·d·T.

    N counts the parameters that multiply (an untied input embedding is only looked up); frozen ones need no gradient of
    their own, 4 in place of 6. The second term is causal attention, half of the 12·L·d·T of Chowdhery et al. 2022 (PaLM),
    appendix B. What activation checkpointing computes again does not count.
    """
    frozen = shape.parameters - shape.trainable
    multiplied = 6.0 * shape.trainable + 4.0 * frozen - (4.0 if frozen else 6.0) * shape.lookup
    return multiplied + 6.0 * shape.layers * shape.attention * sequence_length
