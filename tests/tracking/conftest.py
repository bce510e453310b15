"""Tracking against a real database, and against a real server that can be stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.artifacts import Store
from lifecycle.recipe.recipe import Recipe
from tests.ports import free_port
from tests.tracking.chain import small_recipe
from tests.tracking.server import Server


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty MLflow database: making one takes seconds, copying it none."""
    from lifecycle.tracking.connection import connect

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def tracking_uri(tmp_path: Path, migrated: bytes) -> str:
    """A SQLite database of this test's own."""
    path = tmp_path / "home" / "mlflow.db"
    path.parent.mkdir()
    path.write_bytes(migrated)
    return f"sqlite:///{path}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Two sources, three models."""
    return small_recipe(tmp_path)


@pytest.fixture
def server(tmp_path: Path, migrated: bytes) -> Iterator[Server]:
    """A server that is not started yet."""
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "mlflow.db").write_bytes(migrated)
    variables = {
        "MLFLOW_PORT": str(free_port()),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{directory / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(directory / "artifacts"),
    }
    server = Server(directory, variables)
    yield server
    server.stop()
