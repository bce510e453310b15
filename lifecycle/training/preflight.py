"""Checks in the first seconds of a job, before anything expensive: sizes, vocabularies, disk."""

import shutil
from pathlib import Path
from typing import Any

from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import load_tokenizer
from lifecycle.recipe.training import CausalTraining
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.tokenizer import tokenizer_digest
from lifecycle.training.exits import ConfigurationError


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


def check_pieces(tokenizer: Path, model: Path) -> None:
    """Raises ConfigurationError when a model was trained with other pieces than those of `tokenizer`.

    Every piece of the model's own tokenizer must have the same id there; pieces may have been added behind them.
    """
    own, given = load_tokenizer(model).get_vocab(), load_tokenizer(tokenizer).get_vocab()
    for piece, number in own.items():
        if given.get(piece) != number:
            raise ConfigurationError(
                f"{model}: its tokenizer has {piece!r} as {number}, {tokenizer} has {given.get(piece)}; "
                "the recipe's tokenizer must be the model's own, or an extension of it"
            )


def check_positions(model: Path, config: Any, sequence_length: int) -> None:
    """Raises ConfigurationError when a given model was made for shorter sequences."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and sequence_length > positions:
        raise ConfigurationError(f"training.sequence_length {sequence_length} exceeds the {positions} positions of {model}")


def check_disk(job: TrainingJob, training: CausalTraining, parameters: int) -> None:
    """Raises ConfigurationError when the checkpoints to keep, the one being written, and the model will not fit."""
    weights = parameters * (2 if training.precision == "bf16" else 4)
    # Per parameter: the weight, and in fp32 the master weight and Adam's two moments.
    checkpoint = weights + parameters * 12
    for directory, needed, what in (
        (Path(job.run_dir), checkpoint * (training.keep_checkpoints + 1), f"{training.keep_checkpoints + 1} checkpoints"),
        (Path(job.output), weights, "the model"),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
        if free < needed:
            raise ConfigurationError(
                f"{directory}: {what} need {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; "
                "free some space or lower training.keep_checkpoints"
            )
