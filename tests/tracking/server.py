"""A real MLflow server that can be stopped and started again."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE

START_SECONDS = 300
"""Eight seconds on a quiet machine; it imports half of MLflow on a busy one."""
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without workers for features that nothing here uses."""


@dataclass
class Server:
    """`mlflow server`, told by variables what it serves, and where; its data survives a stop."""

    directory: Path
    variables: Mapping[str, str]
    process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        return f"http://{self.variables.get('MLFLOW_HOST', '127.0.0.1')}:{self.variables['MLFLOW_PORT']}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--workers", "1"],
            cwd=self.directory,
            env=os.environ | LIGHT | self.variables,
            stdout=(self.directory / "server.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "server.log").read_text()
            assert time.monotonic() < deadline, "mlflow server did not come up"
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)  # a polite end waits for idle connections
            self.process.wait(PATIENCE)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as response:
                return response.status == 200
        except OSError:
            return False
