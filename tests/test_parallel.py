"""Worker processes: order, and an end with the orchestrator."""

import os
import signal
import subprocess
import sys
import time

import psutil

from lifecycle.parallel import chunks, ordered_map

PROGRAM = """
import time
from lifecycle.parallel import ordered_map
if __name__ == "__main__":
    for _ in ordered_map(time.sleep, [0.1] * 4 + [600.0] * 4, 2):
        print("ready", flush=True)
"""


def square(value: int) -> int:
    return value * value


def test_results_come_in_order_whatever_the_number_of_workers() -> None:
    assert list(ordered_map(square, range(20), 2)) == list(ordered_map(square, range(20), 1))


def test_chunks_lose_nothing() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_workers_end_when_the_orchestrator_is_killed(tmp_path) -> None:
    """After `kill -9` of a run, its workers once stayed for ever, each with its models in memory."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(child.is_running() for child in children):
        time.sleep(0.2)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
