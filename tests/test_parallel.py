"""Worker processes: order, an end with the orchestrator, and workers that die, here and on Ray."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from lifecycle.errors import DataError
from lifecycle.parallel import Executor, chunks, ordered_map
from tests.patience import PATIENCE

PROGRAM = """
import time
from lifecycle.parallel import ordered_map
if __name__ == "__main__":
    for _ in ordered_map(time.sleep, [0.1] * 4 + [3600.0] * 4, 2):
        print("ready", flush=True)
"""

IMPORTED = """
import os
IMPORTER = os.getpid()

def is_my_import(_):
    return IMPORTER == os.getpid()
"""
IMPORTING = """
from functools import partial
from lifecycle.parallel import ordered_map
from imported import is_my_import
if __name__ == "__main__":
    print(any(ordered_map(partial(is_my_import), range(8), 2)))
"""


@pytest.fixture(params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    """Both backends."""
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    return request.param


def square(value: int) -> int:
    return value * value


def die_once(marks: Path, deadly: int, value: int) -> int:
    """Kill the own process with SIGKILL at the first meeting with `deadly`."""
    if value == deadly and not (marks / "died").exists():
        (marks / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value * value


def die_always(deadly: int, marks: Path, value: int) -> int:
    with (marks / str(value)).open("a") as file:
        file.write("x")
    if value == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def linger(directory: Path, value: int) -> tuple[int, int]:
    """Say who works, then take long enough to be killed at it."""
    (directory / f"{os.getpid()}").touch()
    time.sleep(0.5)
    return value, os.getpid()


def refuse(value: int) -> int:
    if value == 5:
        raise DataError("five.parquet: damaged")
    return value


class Unpicklable:
    """Cannot be made again in a worker."""

    def __call__(self, value: int) -> int:
        return value

    def __reduce__(self) -> tuple:
        return _explode, ()


def _explode() -> None:
    raise ImportError("no module of this name in the worker")


def test_results_come_in_order_whatever_the_number_of_workers(executor: Executor) -> None:
    straight = list(ordered_map(square, range(40), 1))
    assert list(ordered_map(square, range(40), 2, executor)) == straight == [value * value for value in range(40)]


@pytest.mark.parametrize("deadly", [0, 7, 19])
def test_a_worker_that_dies_loses_nothing(tmp_path: Path, executor: Executor, deadly: int) -> None:
    assert list(ordered_map(partial(die_once, tmp_path, deadly), range(20), 2, executor)) == [v * v for v in range(20)]
    assert (tmp_path / "died").exists()


def test_a_worker_killed_from_outside_loses_nothing(tmp_path: Path, executor: Executor) -> None:
    """One of two workers gets SIGKILL in the middle of its item; the other one, or a new one, does it again."""
    results = ordered_map(partial(linger, tmp_path), range(12), 2, executor)
    found = [next(results)]
    victim = max(int(path.name) for path in tmp_path.iterdir())
    os.kill(victim, signal.SIGKILL)
    found += results
    assert [value for value, _ in found] == list(range(12))
    assert victim not in [worker for _, worker in found[-4:]]


def test_an_item_that_no_worker_survives_is_named(tmp_path: Path, executor: Executor) -> None:
    """It ends in an error, not in a hang, and its neighbours are not blamed for it."""
    results = ordered_map(partial(die_always, 6, tmp_path), range(20), 2, executor)
    found = []
    with pytest.raises(DataError, match=r"^6: 3 worker processes died of this item"):
        found.extend(results)
    assert found == list(range(6))[: len(found)]
    assert (tmp_path / "6").read_text() == "xxx"


def test_errors_of_the_function_come_as_they_are(executor: Executor) -> None:
    with pytest.raises(DataError, match=r"^five\.parquet: damaged$") as caught:
        list(ordered_map(refuse, range(20), 2, executor))
    assert type(caught.value) is DataError


def test_a_function_that_workers_cannot_load_is_no_dead_worker() -> None:
    with pytest.raises(ImportError, match="no module of this name"):
        list(ordered_map(Unpicklable(), range(4), 2))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        list(ordered_map(lambda value: value, range(4), 2))


def test_what_a_function_needs_is_imported_once_for_all_workers(tmp_path: Path) -> None:
    """Each worker of each pool of a stage once imported all of it anew, almost a second of the processor each time."""
    (tmp_path / "imported.py").write_text(IMPORTED, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in (str(tmp_path), *sys.path) if path)}
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "False\n"


def test_items_are_taken_when_they_are_needed(executor: Executor) -> None:
    """A source of a hundred million documents must not be in flight at once."""
    taken: list[int] = []

    def source() -> Iterator[int]:
        for value in range(100):
            taken.append(value)
            yield value

    results = ordered_map(square, source(), 2, executor)
    next(results)
    assert len(taken) < 12
    results.close()  # type: ignore[attr-defined]


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
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(child.is_running() for child in children):
        time.sleep(0.2)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
