"""Models on disk: the one place where they are read, and the one that chooses where they compute."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.recipe.adaptation import StartingModel

ATTENTION = "sdpa"
MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")
HUB_FILES = (*MODEL_FILES, "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")


def device() -> torch.device:
    """This process's GPU where there is one, else the CPU. The GPU side has not been run on the machines of our tests."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def load_model(
    directory: Path, dtype: torch.dtype | str = "auto", headless: bool = False, **arguments: Any
) -> PreTrainedModel:
    """The model in a Hugging Face folder, on the CPU, read offline, from safetensors alone: nothing is ever unpickled.

    Args:
        headless: any model, without the layer that predicts tokens, instead of a causal one with it.
        arguments: more for `from_pretrained` (quantization).

    Raises:
        CorruptArtifactError: it is not usable.
    """
    try:
        return (AutoModel if headless else AutoModelForCausalLM).from_pretrained(
            str(directory),
            dtype=dtype,
            attn_implementation=ATTENTION,
            local_files_only=True,
            use_safetensors=True,
            **arguments,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise CorruptArtifactError(f"{directory}: the model cannot be loaded: {error}") from error


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer in a Hugging Face folder, read offline; raises CorruptArtifactError when it is not usable."""
    try:
        return AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{directory}: the tokenizer cannot be loaded: {error}") from error


def load_for_inference(directory: Path, dtype: torch.dtype | str = torch.float32, headless: bool = False) -> tuple[Any, Any]:
    """The model in evaluation mode on `device()`, `headless` as `load_model` has it, and its tokenizer.

    Raises:
        CorruptArtifactError: one of them is not usable.
    """
    tokenizer = load_tokenizer(directory)
    module: Any = load_model(directory, dtype, headless)
    return module.to(device()).eval(), tokenizer


def start_directory(start: StartingModel, field: str = "base_model.start") -> Path:
    """Where the model that the recipe names in `field` lies; one of the Hub is fetched unless the local cache has it.

    Raises:
        DataError: there is no model with safetensors there, or the Hub cannot be reached; the message says what to do.
    """
    directory = _fetched(start, field) if start.hub else Path(os.path.expanduser(os.path.expandvars(start.path or "")))
    if not (directory / "config.json").is_file() or not any(directory.glob("*.safetensors")):
        raise DataError(
            f"{field}: {directory} holds no Hugging Face model (config.json and *.safetensors); name the folder "
            "itself, and convert other formats with `save_pretrained` first"
        )
    return directory


def _fetched(start: StartingModel, field: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert start.hub is not None
    try:
        return Path(snapshot_download(start.hub, revision=start.revision, allow_patterns=list(HUB_FILES)))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise DataError(
            f"{field}: {start.hub} at {start.revision} is not in the local cache and cannot be fetched: {error}. "
            "Fetch it where there is a network (`hf download`), or give `path`"
        ) from error


def copy_model(source: Path, out: Path) -> None:
    """Copy a model's weights and configuration into `out`, without its tokenizer; memory does not grow with it."""
    for pattern in MODEL_FILES:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, out / path.name)
