"""Fixtures that several rooms share."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from lifecycle.recipe.training import TokenizerConfig
from tests.graph_home import Home, make_home

SMALL_VOCABULARY = 1024

# How long an example takes, or its making, says how busy the machine is.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")


LONG = ("browser", "end_to_end", "training", "training_preference", "kubernetes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms whose files take long come first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: not set(LONG) & set(item.path.parts))


class Shares(LoadFileScheduling):
    """A file is one worker's, so that its fixtures are made once; all that read the finished home are one worker's too."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.split("::", 1)[0]
        return "finished" if _reads_finished_home(self.config.rootpath / name) else name


@cache
def _reads_finished_home(file: Path) -> bool:
    return "finished: Home" in file.read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    """Marks cannot group: pytest-xdist 3.8 writes them where pytest 9.2 no longer looks, and scatters every file."""
    return Shares(config, log)


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
