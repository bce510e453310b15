"""From the engine to a Hugging Face folder that is loaded again and compared before it is accepted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepspeed
import numpy as np
import torch
from torch import distributed
from transformers import PreTrainedModel

from lifecycle.errors import CorruptArtifactError
from lifecycle.pretrained import ATTENTION, load_model
from lifecycle.training.batches import Batch, Sequences
from lifecycle.training.distributed import rank
from lifecycle.training.engine import Engine
from lifecycle.training.loss import hidden_states

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "token_format.json",
)


def export(engine: Engine, data: Sequences, tokenizer: Path, out: Path) -> None:
    """Write the model and its tokenizer into `out`; every rank must call it.

    The weights are those of the forward pass: bf16 in a bf16 run. The fp32 master weights exist only for adding small
    updates; no loss was ever measured with them.

    Raises:
        CorruptArtifactError: the reloaded model is not the trained one; the message gives the difference.
    """
    engine.module.model.set_attn_implementation(ATTENTION)
    batch = data.batch(np.arange(1)).to(engine.device)
    reference = logits_of(engine.module.model, batch)
    weights = gather_weights(engine)
    if rank() == 0:
        engine.module.model.save_pretrained(str(out), state_dict=weights, max_shard_size="5GB")
        copy_tokenizer(tokenizer, out)
        reloaded = load_model(out).to(engine.device)
        verify(reference, logits_of(reloaded, batch), out)
    distributed.barrier()


def copy_tokenizer(source: Path, out: Path) -> None:
    """Copy the tokenizer's files, chat template included, byte for byte."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def verify(reference: torch.Tensor, reloaded: torch.Tensor, out: Path, share: float = 1e-3) -> None:
    """Raises CorruptArtifactError when two sets of logits [sequences, sequence_length, vocabulary] differ.

    Args:
        share: of the largest logit by which they may.
    """
    largest = float((reference - reloaded).abs().max()) if reference.shape == reloaded.shape else float("inf")
    allowed = share * max(1.0, float(reference.abs().max()))
    if not largest <= allowed:
        raise CorruptArtifactError(
            f"{out}: the saved model is not the trained one: its logits differ by up to {largest:.4g} "
            f"(allowed {allowed:.4g})"
        )


@torch.no_grad()
def logits_of(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """What the model says of a batch, in evaluation mode: float32 [sequences, sequence_length, vocabulary]."""
    training = model.training
    model.eval()
    try:
        hidden = hidden_states(model, batch.ids, batch.positions, batch.segments)
        head: Any = model.get_output_embeddings()
        return head(hidden).float()
    finally:
        model.train(training)


def gather_weights(engine: Engine, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, torch.Tensor]:
    """All wanted weights, on rank 0 only; under ZeRO-3 one after the other: no rank holds the whole model on its device."""
    weights: dict[str, torch.Tensor] = {}
    partitioned = engine.zero_optimization_stage() == 3
    for name, parameter in engine.module.model.named_parameters(remove_duplicate=False):
        if not wanted(name):
            continue
        with deepspeed.zero.GatheredParameters([parameter], enabled=partitioned):
            if rank() == 0:
                weights[name] = parameter.detach().cpu().clone()
    return weights
