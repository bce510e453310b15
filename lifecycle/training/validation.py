"""Bits per byte on held-out text while training: what the best checkpoint is chosen by."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from lifecycle.jobs import TrainingJob
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Batch, PackedDocuments
from lifecycle.training.config import CausalJobConfig
from lifecycle.training.distributed import rank, sum_over_ranks, world
from lifecycle.training.engine import Engine
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.preflight import check_tokenizer

INPUT = "validation"


@dataclass(frozen=True)
class ValidationSet:
    """Packed sequences that no step trains on."""

    data: PackedDocuments
    sequences: int
    """How many of them are measured, from the front."""
    bytes: int
    """UTF-8 bytes of the text that their weighted labels spell."""


def open_validation(job: TrainingJob, config: CausalJobConfig, tokenizer: Path) -> ValidationSet | None:
    """The held-out memmap: the job's input `validation`, else the folder of that name in its memmap.

    None when the recipe asks for no validation.

    Raises:
        ConfigurationError: there is none, or it was encoded with another tokenizer.
    """
    wanted = config.training.validation
    if wanted is None:
        return None
    path = Path(job.inputs.get(INPUT, str(Path(job.inputs["memmap"]) / INPUT)))
    if not path.is_dir():
        raise ConfigurationError(
            f"training.validation: {path} does not exist; give the job an input `{INPUT}` (a memmap of held-out documents), "
            "or leave training.validation out"
        )
    memmap = TokenMemmap(path)
    check_tokenizer(memmap, tokenizer)
    data = PackedDocuments(memmap, config.training.sequence_length, config.kind)
    sequences = min(wanted.sequences, data.sequences)
    text = _bytes(data.batch(np.arange(sequences)), AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True))
    if not text:
        raise ConfigurationError(f"{path}: no label of its first {sequences} sequences has weight; nothing can be measured")
    return ValidationSet(data, sequences, text)


def bits_per_byte(engine: Engine, held_out: ValidationSet, micro_batch: int) -> float:
    """Bits that the model needs per byte of the held-out text; every rank must call it.

    All ranks do the same number of forward passes, as ZeRO-3 demands; what is too much has no weight.
    """
    passes = math.ceil(held_out.sequences / (world() * micro_batch))
    nats = torch.zeros((), dtype=torch.float64, device=engine.device)
    was_training = engine.training
    engine.eval()
    try:
        with torch.no_grad():
            for index in range(passes):
                numbers = (index * world() + rank()) * micro_batch + np.arange(micro_batch)
                batch = held_out.data.batch(np.minimum(numbers, held_out.sequences - 1)).to(engine.device)
                batch.weights[torch.from_numpy(numbers >= held_out.sequences).to(engine.device)] = 0
                nats += engine(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
    finally:
        engine.train(was_training)
    return sum_over_ranks(engine.device, float(nats))[0] / math.log(2) / held_out.bytes


def _bytes(batch: Batch, tokenizer: Any) -> int:
    spelt = [labels[weights > 0].tolist() for labels, weights in zip(batch.labels, batch.weights, strict=True)]
    return sum(len(tokenizer.decode(ids, skip_special_tokens=True).encode()) for ids in spelt)
