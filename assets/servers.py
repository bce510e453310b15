"""`lifecycle ui`: the Dagster UI with its daemon, and the MLflow UI, as children of one command."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lifecycle.cli import PROJECT, console, tracking_uri
from lifecycle.errors import LifecycleError

HOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 8


def serve(home: Path, dagster_port: int, mlflow_port: int) -> None:
    """Start both servers on loopback, say where they are, and run until Ctrl-C or until one of them ends.

    Raises:
        LifecycleError: a port is taken, or a server ended or did not answer in time.
    """
    for name, port, option in (("Dagster", dagster_port, "--dagster-port"), ("MLflow", mlflow_port, "--mlflow-port")):
        if _answers(port):
            raise LifecycleError(f"port {port} for the {name} UI is taken; choose another with {option}")
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ["LIFECYCLE_MLFLOW_UI"] = f"http://{HOST}:{mlflow_port}"
    servers: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        servers["Dagster"] = (dagster_port, _start(_dagster(dagster_port), logs / "dagster.log"))
        servers["MLflow"] = (mlflow_port, _start(_mlflow(home, mlflow_port), logs / "mlflow.log"))
        for name, (port, process) in servers.items():
            _wait(name, port, process, logs)
            console.print(f"{name:<8} http://{HOST}:{port}", highlight=False)
        console.print("Ctrl-C ends both.")
        while all(process.poll() is None for _, process in servers.values()):
            time.sleep(0.5)
        ended = [name for name, (_, process) in servers.items() if process.poll() is not None]
        raise LifecycleError(f"the {ended[0]} server ended by itself; see {logs / ended[0].lower()}.log")
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        _stop([process for _, process in servers.values()])


def _dagster(port: int) -> list[str]:
    workspace = str(PROJECT / "workspace.yaml")
    return [sys.executable, "-m", "dagster", "dev", "-w", workspace, "-h", HOST, "-p", str(port)]


def _mlflow(home: Path, port: int) -> list[str]:
    # Workers for features of MLflow that nothing here uses; without them the server takes a fraction of the memory.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    database = tracking_uri(home, os.environ.get("LIFECYCLE_TRACKING_URI"))
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", HOST]
    return [*command, "--port", str(port), "--workers", "1", "--artifacts-destination", str(home / "mlflow-artifacts")]


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A server in a process group of its own, its output in `log`, with the default reaction to Ctrl-C."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_prepare,
        )


def _prepare() -> None:
    """In the child: the default reaction to Ctrl-C, which a script's background job would otherwise ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait(name: str, port: int, process: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LifecycleError(f"the {name} server did not start; see {logs / name.lower()}.log")
        time.sleep(0.3)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask every process group to end, wait, then insist."""
    for step in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):  # the whole group, also where its leader has ended
                os.killpg(process.pid, step)
        deadline = time.monotonic() + STOP_SECONDS
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.2)
