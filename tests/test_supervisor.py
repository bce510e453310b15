"""Ctrl-C for `lifecycle run`, with small workers in the place of Dagster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from assets.run import _is_alive, _process_identity
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
READY = "ready"

PROGRAM = """
import os, signal, subprocess, sys, time
from assets.supervisor import supervised

def deaf():
    "As a run whose interrupt was raised inside a weakref callback, or while it waited for a pool's slot: it is lost."
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    ready(), time.sleep(3600)

def plain():
    ready(), time.sleep(3600)

def ends():
    raise SystemExit(3)

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def ready():
    print("ready", flush=True)

supervised(globals()[sys.argv[1]])
"""


def start(worker: str) -> subprocess.Popen[str]:
    """In a session of its own, so that the test can signal a whole terminal's worth of processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, worker],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    if worker in ("deaf", "plain"):
        assert process.stdout.readline().strip() == READY
    return process


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    return not alive


@pytest.mark.parametrize("worker", ["plain", "deaf"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_one_ctrl_c_ends_it_even_when_the_work_does_not_hear_it(worker: str, send) -> None:
    """A `lifecycle run` went on for minutes: Dagster's interrupt had been raised inside a callback of SQLAlchemy."""
    process = start(worker)
    below = descendants(process)
    send(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert output.count("the same command continues") == 1
    assert len(output.strip().splitlines()) == 1, output
    assert gone(below)


def test_the_second_ctrl_c_does_not_wait() -> None:
    process = start("deaf")
    below = descendants(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert gone(below)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_requests_to_stop_have_their_own_status(number: signal.Signals, status: int) -> None:
    process = start("plain")
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == status


@pytest.mark.parametrize(("worker", "status"), [("ends", 3), ("killed", 137)])
def test_the_status_of_the_work_is_the_status_of_the_command(worker: str, status: int) -> None:
    process = start(worker)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == status


def test_killing_the_command_ends_the_work() -> None:
    """`kill -9` of the command must not leave the run going on, unseen."""
    process = start("deaf")
    worker = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    assert gone(worker)


def test_a_run_whose_process_is_a_zombie_is_dead() -> None:
    """Where nobody reaps it, a killed run's process stays listed: its pool slot must be freed all the same."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = _process_identity(process.pid)
    assert _is_alive(identity)
    process.kill()
    deadline = time.monotonic() + PATIENCE
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(identity)
    process.wait()
    assert not _is_alive(identity)
