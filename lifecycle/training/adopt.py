"""A given model taken as the base model, as it is."""

from pathlib import Path
from typing import Any

from lifecycle.pretrained import copy_model, load_model, load_tokenizer
from lifecycle.tokens.extend import extend_embeddings
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.export import copy_tokenizer
from lifecycle.training.preflight import check_pieces
from lifecycle.training.start import end_like_tokenizer


def adopt(model: Path, tokenizer: Path, out: Path) -> dict[str, Any]:
    """Copy the weights and configuration of `model` into `out`, beside the recipe's tokenizer; the facts.

    Where the tokenizer has new pieces, their rows are added: the mean of those that they replace.

    Raises:
        ConfigurationError: the model was trained with other pieces than the tokenizer's, or has too few embeddings.
        CorruptArtifactError: it cannot be read.
    """
    extension = check_pieces(tokenizer, model)
    if extension:
        extended = load_model(model)
        extend_embeddings(extended, extension)
        extended.save_pretrained(str(out), max_shard_size="5GB")
    else:
        copy_model(model, out)
    copy_tokenizer(tokenizer, out)
    read = load_model(out)
    rows, pieces = read.config.get_text_config().vocab_size, len(load_tokenizer(tokenizer))
    if rows < pieces:
        raise ConfigurationError(f"{model} has {rows} embeddings, fewer than the {pieces} pieces of {tokenizer}")
    end_like_tokenizer(read, tokenizer)
    assert read.generation_config is not None
    read.generation_config.save_pretrained(str(out))
    return {"parameters": read.num_parameters(), "steps": 0}
