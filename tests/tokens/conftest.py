"""Fixtures of this room: one small corpus and one small tokenizer for the whole session."""

from pathlib import Path

import pytest

from lifecycle.recipe.training import TokenizerConfig
from lifecycle.tokens.tokenizer import train_tokenizer
from tests.tokens.small_corpus import write_corpus

VOCABULARY = 1024


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(corpus, TokenizerConfig(vocab_size=VOCABULARY), out, tmp_path_factory.mktemp("run"))
    return out
