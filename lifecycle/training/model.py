"""Building a Llama-style model from its architecture; the same weights on every rank."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from lifecycle.pretrained import ATTENTION
from lifecycle.recipe.training import Architecture


def llama_config(architecture: Architecture, vocab_size: int, **special: Any) -> LlamaConfig:
    """The transformers configuration of an architecture; `special` holds the ids of special tokens."""
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        max_position_embeddings=architecture.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        tie_word_embeddings=architecture.tie_embeddings,
        **special,
    )


def build_model(
    architecture: Architecture, vocab_size: int, dtype: torch.dtype, seed: int, tokenizer: Path
) -> PreTrainedModel:
    """A new model with weights drawn from `seed` alone.

    Special token ids come from the tokenizer in `tokenizer`. Generation stops at the end of a chat turn (the
    tokenizer's eos token) and at the end of a document (its pad token).
    """
    ids = AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True)
    ends = sorted({ids.eos_token_id, ids.pad_token_id})
    config = llama_config(
        architecture,
        vocab_size,
        bos_token_id=ids.bos_token_id,
        eos_token_id=ids.eos_token_id,
        pad_token_id=ids.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config)
    model.to(dtype).set_attn_implementation(ATTENTION)
    model.generation_config = GenerationConfig(
        bos_token_id=ids.bos_token_id, eos_token_id=ends, pad_token_id=ids.pad_token_id, do_sample=False
    )
    return model


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW groups: matrices are decayed, the embedding (which is the tied output matrix) included; norms and biases not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = (
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    )
    return [
        group for group in groups if group["params"]
    ]  # of a LoRA adapter nothing is a vector, and ZeRO takes no empty one
