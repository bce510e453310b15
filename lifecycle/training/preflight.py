"""Checks in the first seconds of a job, before anything expensive: sizes, vocabularies, disk."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from lifecycle.digests import digest_json
from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import load_tokenizer
from lifecycle.recipe.training import CausalTraining
from lifecycle.tokens.chat import Encoded, mask_preview
from lifecycle.tokens.extend import Extension, read_extension
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.tokenizer import tokenizer_digest
from lifecycle.training.batches import Batch
from lifecycle.training.exits import ConfigurationError, NumericsError
from lifecycle.training.guards import Documents, check_loss
from lifecycle.training.loss import WeightedLoss
from lifecycle.training.memory import disk_bytes, value_bytes
from lifecycle.training.throughput import Shape

PREVIEW_TOKENS = 256


def check_tokenizer(memmap: TokenMemmap, directory: Path) -> None:
    """Raises ConfigurationError when the memmap was encoded with another tokenizer than the one in `directory`."""
    found = tokenizer_digest(directory)
    if found != memmap.describe.tokenizer_digest:
        raise ConfigurationError(
            f"{memmap.path} was encoded with tokenizer {memmap.describe.tokenizer_digest}, {directory} holds {found}; "
            "build the memmap again with this tokenizer"
        )


def check_vocabulary(memmap: TokenMemmap, model_vocabulary: int) -> None:
    """Raises ConfigurationError when the model has fewer entries than the memmap's vocabulary."""
    if memmap.describe.vocab_size > model_vocabulary:
        raise ConfigurationError(
            f"{memmap.path} has a vocabulary of {memmap.describe.vocab_size}, the model only {model_vocabulary} entries"
        )


def check_pieces(tokenizer: Path, model: Path) -> Extension | None:
    """The extension that a model needs to follow `tokenizer`; None where it knows its pieces already.

    Every piece of the model's own tokenizer must have the same id there. Pieces may have been added behind them: those of
    an extension, which was made for one set of pieces alone, or some for which the model has rows to spare.

    Raises:
        ConfigurationError: the model was trained with other pieces; the message names both digests and the first piece.
    """
    own, given = load_tokenizer(model).get_vocab(), load_tokenizer(tokenizer).get_vocab()
    extension = read_extension(tokenizer)
    known = given
    if extension and own != given:
        known = {piece: number for piece, number in given.items() if number < extension.base_size}
    strange = [piece for piece in own if known.get(piece) != own[piece]]
    if extension and known is not given and not strange:
        strange = [piece for piece in known if piece not in own]
    if strange:
        piece = min(strange)
        raise ConfigurationError(
            f"{model} was trained with the pieces {pieces_digest(own)}, {tokenizer} continues {pieces_digest(known)}: "
            f"{piece!r} is {own.get(piece)} in the one and {known.get(piece)} in the other; "
            "the recipe's tokenizer must be the model's own, or an extension of it"
        )
    return extension if known is not given else None


def check_trained(extension: Extension | None, training: CausalTraining) -> None:
    """Raises ConfigurationError when the rows of new pieces would stay as they begin."""
    if extension and training.adapter:
        raise ConfigurationError(
            "tokenizer.new_pieces: with training.adapter the embeddings of the new pieces would never be trained; train all "
            "weights, or name in training.freeze those that are to stay"
        )


def pieces_digest(pieces: Mapping[str, int]) -> str:
    """A digest of which piece has which number: what a model's rows mean."""
    return digest_json(dict(pieces))[:32]


def first_mask(memmap: TokenMemmap, tokenizer: Path) -> str:
    """The first document as Markdown, trained tokens in bold, cut after `PREVIEW_TOKENS`; empty where all are trained."""
    if memmap.loss_mask is None:
        return ""
    end = min(int(memmap.offsets[1]), PREVIEW_TOKENS)
    shown = Encoded(memmap.document(0)[:end].astype(np.int64), np.asarray(memmap.loss_mask[:end]))
    return mask_preview(load_tokenizer(tokenizer), shown)


def check_positions(model: Path, config: Any, sequence_length: int) -> None:
    """Raises ConfigurationError when a given model was made for shorter sequences."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and sequence_length > positions:
        raise ConfigurationError(f"training.sequence_length {sequence_length} exceeds the {positions} positions of {model}")


def check_batch(model: PreTrainedModel, batch: Batch, precision: str, documents: Documents) -> float | None:
    """One real forward and backward pass before the engine exists; the mean loss, or None where no label has weight.

    The weights, and the state of every random generator, are the same afterwards. Where the device has no room for a
    whole copy in float32 (ZeRO-3 partitions the model for a reason) nothing is tried, and None is returned.

    Args:
        batch: a part of the first step's.
        documents: finds the numbers of the documents in it.

    Raises:
        NumericsError: the loss or a gradient is not finite.
        ConfigurationError: a weight that is to be trained has no part in the loss.
    """
    device = batch.ids.device
    weight = float(batch.weights.sum())
    if weight == 0 or not _has_room(model, device):
        return None
    model.to(device)  # pyright: ignore[reportArgumentType]
    with torch.random.fork_rng(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss = WeightedLoss(model)(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights) / weight
    check_loss(1, float(loss), documents)
    loss.backward()
    try:
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                raise ConfigurationError(f"{name} is to be trained and has no part in the loss; freeze it")
            if not bool(parameter.grad.isfinite().all()):
                raise NumericsError(f"the gradient of {name} is not finite in a trial pass")
    finally:
        model.zero_grad(set_to_none=True)
    return float(loss.detach())


def _has_room(model: PreTrainedModel, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    needed = 4 * sum(p.numel() * (2 if p.requires_grad else 1) for p in model.parameters())
    return needed * 1.3 < torch.cuda.mem_get_info(device)[0]


def check_disk(job: TrainingJob, training: CausalTraining, shape: Shape) -> None:
    """Raises ConfigurationError when the checkpoints at their worst (`disk_bytes`), or the model, will not fit.

    What an earlier attempt's checkpoints take is theirs already.
    """
    weights = shape.parameters * value_bytes(training)
    for directory, needed, what in (
        (Path(job.run_dir), disk_bytes(shape, training), f"the checkpoints ({training.keep_checkpoints} and more)"),
        (Path(job.output), weights, "the model"),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        held = {found.st_ino: found.st_size for found in (path.stat() for path in directory.rglob("*.pt"))}
        free = shutil.disk_usage(directory).free + sum(held.values())
        if free < needed:
            raise ConfigurationError(
                f"{directory}: {what} need {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; "
                "free some space or lower training.keep_checkpoints"
            )
