"""Inputs that all tests of this room share."""

from collections.abc import Iterator
from pathlib import Path

import deepspeed
import pytest
import torch

from lifecycle.training.distributed import start
from tests.training import tiny


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    """A process group of this process alone."""
    patch = pytest.MonkeyPatch()
    known = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in {**known, "DS_ACCELERATOR": "cpu"}.items():
        patch.setenv(name, value)
    yield start()
    deepspeed.comm.destroy_process_group()  # torch's own would leave DeepSpeed with groups that no longer exist
    torch.use_deterministic_algorithms(False)
    patch.undo()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def memmap(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return tiny.make_memmap(tmp_path_factory.mktemp("memmap"), tokenizer)


@pytest.fixture(scope="session")
def sft_memmap(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return tiny.make_memmap(tmp_path_factory.mktemp("sft_memmap"), tokenizer, masked=True)
