"""The model that a job begins with: new, given, or given with an adapter; the same on every rank."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import load_model, load_tokenizer
from lifecycle.tokens.extend import extend_embeddings
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.adapters import Adapted, adapt, freeze, quantization
from lifecycle.training.config import CausalJobConfig
from lifecycle.training.model import build_model
from lifecycle.training.preflight import check_pieces, check_positions, check_tokenizer, check_trained, check_vocabulary


@dataclass(frozen=True)
class Start:
    """A model ready for the engine.

    Attributes:
        tokenizer: directory of the tokenizer that the data was encoded with.
        adapted: its adapter, where there is one.
    """

    model: PreTrainedModel
    tokenizer: Path
    adapted: Adapted | None = None


def begin(job: TrainingJob, config: CausalJobConfig, memmap: TokenMemmap) -> Start:
    """Build or read the model in float32 and freeze what the recipe says.

    Raises:
        ConfigurationError: memmap, tokenizer and model do not belong together, or adapter or freezing do not fit the model.
        CorruptArtifactError: the given model is not usable.
    """
    training = config.training
    tokenizer = Path(job.inputs.get("tokenizer") or job.inputs["model"])
    check_tokenizer(memmap, tokenizer)
    if config.architecture:
        vocabulary = memmap.describe.vocab_size
        model = build_model(config.architecture, vocabulary, torch.float32, training.seed, tokenizer)
        freeze(model, training.freeze)
        return Start(model, tokenizer)
    directory = Path(job.inputs["model"])
    extension = check_pieces(tokenizer, directory) if "tokenizer" in job.inputs else None
    check_trained(extension, training)
    model = load_model(directory, torch.float32, **quantization(training.adapter))
    if extension:
        extend_embeddings(model, extension)
    check_vocabulary(memmap, model.config.get_text_config().vocab_size)
    check_positions(directory, model.config.get_text_config(), training.sequence_length)
    if "tokenizer" in job.inputs:
        end_like_tokenizer(model, tokenizer)
    if training.adapter:
        adapted = adapt(model, training.adapter, directory, training.seed)
        return Start(adapted.peft.get_base_model(), tokenizer, adapted)  # pyright: ignore[reportArgumentType]
    freeze(model, training.freeze)
    return Start(model, tokenizer)


def end_like_tokenizer(model: PreTrainedModel, tokenizer: Path) -> None:
    """Let generation stop where the data's turns and documents end; a given model may know other ends."""
    ids = load_tokenizer(tokenizer)
    known = model.generation_config.eos_token_id if model.generation_config else None
    ends = {ids.eos_token_id, ids.pad_token_id, *([known] if isinstance(known, int) else known or [])} - {None}
    model.generation_config = GenerationConfig(
        bos_token_id=ids.bos_token_id, eos_token_id=sorted(ends), pad_token_id=ids.pad_token_id, do_sample=False
    )
