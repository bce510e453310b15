"""A model behind an OpenAI-compatible endpoint: vLLM where it is installed beside a GPU, else transformers' own server."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

import torch

from lifecycle.errors import LifecycleError


def serve(directory: Path, name: str, place: Path, host: str, port: int) -> NoReturn:
    """Become the server of the Hugging Face folder `directory`; requests name the model `name`. Offline, no remote code.

    Args:
        place: a directory for the server's own files; it is made where it does not exist.

    Raises:
        LifecycleError: neither server is installed.
    """
    command, environment = _vllm(directory, name) or _transformers(directory, name, place)
    listening = ["--host", host, "--port", str(port)]
    os.execve(sys.executable, [sys.executable, *command, *listening], os.environ | {"HF_HUB_OFFLINE": "1"} | environment)


def _vllm(directory: Path, name: str) -> tuple[list[str], dict[str, str]] | None:
    """Not run on the machines of our tests, which have no GPU."""
    if not torch.cuda.is_available() or importlib.util.find_spec("vllm") is None:
        return None
    model = ["--model", str(directory), "--served-model-name", name]
    return ["-m", "vllm.entrypoints.openai.api_server", *model], {}


def _transformers(directory: Path, name: str, place: Path) -> tuple[list[str], dict[str, str]]:
    """It knows a model by its path alone, so it is given a link of that name and started beside it."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        raise LifecycleError("there is no server for models here: pip install 'lifecycle[serve]' (vLLM where a GPU is)")
    cache = place / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    link, fresh = place / name, place / f".{name}.{os.getpid()}"
    fresh.symlink_to(directory.resolve(), target_is_directory=True)
    os.replace(fresh, link)
    os.chdir(place)
    return ["-m", "transformers.cli.transformers", "serve", name], {"HF_HUB_CACHE": str(cache)}
