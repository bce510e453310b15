"""How much work a token is, and what share of the device's peak is reached."""

from lifecycle.recipe.training import Architecture

PEAK_BF16_FLOPS: tuple[tuple[str, float], ...] = (
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H20", 148e12),
    ("B200", 2250e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("H800", 989e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10", 125e12),
    ("RTX 4090", 165e12),
)
"""Dense bf16 peak by device name, most specific first, from the vendor's data sheets (without sparsity)."""


def peak_flops(device_name: str | None) -> float | None:
    """Dense bf16 peak of a device in FLOP/s, or None when it is not known: an unknown peak is never guessed."""
    if device_name is None:
        return None
    words = device_name.replace("-", " ").split()
    for name, peak in PEAK_BF16_FLOPS:
        if set(name.split()) <= set(words):
            return peak
    return None


def flops_per_token(parameters: int, architecture: Architecture, vocab_size: int, sequence_length: int) -> float:
    """Training FLOPs per token: 6N + 6·L·d·T.

    N counts the parameters that multiply (an untied input embedding is only looked up); the second term is causal
    attention, half of the 12·L·d·T of Chowdhery et al. 2022 (PaLM), appendix B.
    """
    lookup = 0 if architecture.tie_embeddings else vocab_size * architecture.hidden_size
    return 6.0 * (parameters - lookup) + 6.0 * architecture.layers * architecture.hidden_size * sequence_length
