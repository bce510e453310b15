"""Inputs that all tests of this room share."""

from pathlib import Path

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def memmap(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return tiny.make_memmap(tmp_path_factory.mktemp("memmap"), tokenizer)


@pytest.fixture(scope="session")
def sft_memmap(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return tiny.make_memmap(tmp_path_factory.mktemp("sft_memmap"), tokenizer, masked=True)
