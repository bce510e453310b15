"""Models on disk: the one place where they are read, and the one that chooses where they compute."""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lifecycle.errors import CorruptArtifactError

ATTENTION = "sdpa"


def device() -> torch.device:
    """This process's GPU where there is one, else the CPU. The GPU side has not been run on the machines of our tests."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def load_model(directory: Path, dtype: torch.dtype | str = "auto") -> PreTrainedModel:
    """The model in a Hugging Face folder, on the CPU, read offline.

    Raises:
        CorruptArtifactError: it is not usable.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(directory), dtype=dtype, attn_implementation=ATTENTION, local_files_only=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise CorruptArtifactError(f"{directory}: the model cannot be loaded: {error}") from error


def load_for_inference(directory: Path, dtype: torch.dtype | str = torch.float32) -> tuple[Any, Any]:
    """The model in evaluation mode on `device()`, and its tokenizer.

    Raises:
        CorruptArtifactError: one of them is not usable.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{directory}: the tokenizer cannot be loaded: {error}") from error
    module: Any = load_model(directory, dtype)
    return module.to(device()).eval(), tokenizer
