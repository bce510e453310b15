"""Tracking against a real database, and against a real server that can be stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.artifacts import Store
from lifecycle.recipe import Recipe
from tests.tracking.chain import small_recipe


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


@dataclass
class Server:
    """`mlflow server` on a database in `directory`, which survives a stop."""

    directory: Path
    port: int
    process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "mlflow",
                    "server",
                    "--workers",
                    "1",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                ),
                *("--backend-store-uri", f"sqlite:///{self.directory / 'mlflow.db'}"),
                *("--artifacts-destination", str(self.directory / "artifacts")),
            ],
            cwd=self.directory,
            stdout=(self.directory / "server.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "server.log").read_text()
            assert time.monotonic() < deadline, "mlflow server did not come up"
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)  # a polite end waits for idle connections
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as response:
                return response.status == 200
        except OSError:
            return False


@pytest.fixture
def server(tmp_path: Path, migrated: bytes) -> Iterator[Server]:
    """A server that is not started yet."""
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "mlflow.db").write_bytes(migrated)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(directory, port)
    yield server
    server.stop()
