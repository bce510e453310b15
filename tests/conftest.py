"""Fixtures that several rooms share."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.recipe.training import TokenizerConfig
from tests.graph_home import Home, make_home

SMALL_VOCABULARY = 1024


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One file stays in one worker, and all files that read the finished home share one: it takes a minute to make."""
    files: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    for path, members in files.items():
        reads_home = any("finished" in getattr(item, "fixturenames", ()) for item in members)
        for item in members:
            item.add_marker(pytest.mark.xdist_group("finished" if reads_home else str(path)))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus in both languages, as the stage `corpus` writes it."""
    from tests.tokens.small_corpus import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer trained on it."""
    from lifecycle.tokens.tokenizer import build_tokenizer

    out = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(corpus, TokenizerConfig(vocab_size=SMALL_VOCABULARY), out, tmp_path_factory.mktemp("run"))
    return out


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A real Ray on this machine, with as many workers as its first caller asks for."""
    ray = pytest.importorskip("ray", reason="the optional extra `ray` is not installed")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which `lifecycle run` has ended well once."""
    home = make_home(tmp_path_factory.mktemp("finished"))
    done = home.run("run")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return home
