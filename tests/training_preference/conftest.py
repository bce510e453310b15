"""Fixtures of the preference program."""

from pathlib import Path

import pytest

from tests.tiny_model import tiny_model


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model with its tokenizer."""
    return tiny_model(tmp_path_factory.mktemp("model"))
