"""One owner at a time, and never an owner that is dead."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.locks import StoreLock, _this_process
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[1]
HOLDER = """
import sys, time
from pathlib import Path
from lifecycle.locks import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "x.lock"


def _hold(path: Path) -> subprocess.Popen:
    """A process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def _write(path: Path, **owner: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "elsewhere", "namespace": 1, "pid": 1, "started": 1.0, "nonce": "n"} | owner))


def here(**changes: object) -> dict[str, object]:
    """A process of this machine that does not run."""
    return _this_process() | {"pid": 2**22 - 1} | changes


def _seconds_to_acquire(path: Path, **settings: float) -> float:
    started = time.monotonic()
    with StoreLock(path, poll=0.02, **settings):
        return time.monotonic() - started


def _waiting(path: Path, **settings: float) -> tuple[threading.Event, threading.Thread]:
    """A thread that waits for the lock, and what says that it was taken."""
    taken = threading.Event()

    def take() -> None:
        with StoreLock(path, poll=0.02, **settings):
            taken.set()

    waiter = threading.Thread(target=take)
    waiter.start()
    return taken, waiter


def test_it_is_gone_after_the_block_also_after_an_exception(path: Path) -> None:
    def fail() -> None:
        with StoreLock(path):
            assert path.exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in path.parent.iterdir()] == [".guard"]


def test_a_killed_owner_on_this_host_is_replaced_at_once(path: Path) -> None:
    owner = _hold(path)
    owner.kill()  # and not reaped: it stays in the process table as a zombie, as below a busy supervisor
    assert _seconds_to_acquire(path, stale_after=10 * PATIENCE) < PATIENCE
    owner.wait()


def test_a_living_owner_is_waited_for(path: Path) -> None:
    owner = _hold(path)
    taken, waiter = _waiting(path, stale_after=0.1)
    assert not taken.wait(0.5), "a living owner keeps the lock, whatever its heartbeat"
    owner.communicate()
    assert taken.wait(PATIENCE)
    waiter.join()


def test_a_silent_owner_on_another_host_is_replaced_only_after_the_stale_time(path: Path) -> None:
    _write(path)
    assert _seconds_to_acquire(path, stale_after=0.5) >= 0.5


def test_clocks_that_differ_between_hosts_do_not_matter(path: Path) -> None:
    """A file server an hour behind made every lock look stale to a reader of absolute times."""
    _write(path)
    os.utime(path, (1, 1))
    assert _seconds_to_acquire(path, stale_after=0.5) >= 0.5


def test_a_beating_owner_on_another_host_keeps_the_lock(path: Path) -> None:
    _write(path)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    taken, waiter = _waiting(path, stale_after=2.0)
    assert not taken.wait(3.0), "the lock was taken from an owner whose heart beats"
    stop.set()
    thread.join()
    assert taken.wait(PATIENCE)
    waiter.join()


def test_the_same_process_number_in_another_container_is_somebody_else(path: Path) -> None:
    """Two containers may share a host name; the absence of their process numbers here means nothing."""
    _write(path, **here(namespace=-1))
    assert _seconds_to_acquire(path, stale_after=0.5) >= 0.5


def test_a_machine_of_the_same_name_is_another_machine(path: Path) -> None:
    """Two freshly installed hosts, both called `localhost`, share a store: neither can look up the other's processes."""
    _write(path, **here(boot="another"))
    assert _seconds_to_acquire(path, stale_after=0.5) >= 0.5


def test_a_read_error_does_not_stop_the_heart_nor_lose_the_lock(path: Path) -> None:
    """The heartbeat ended for good when the lock file could not be read once; a minute later another host took over."""
    with StoreLock(path, heartbeat=0.05, poll=0.05) as lock:
        aside, loop = path.with_name("aside"), path.with_name("loop")
        os.link(path, aside)
        loop.symlink_to(path)
        os.replace(loop, path)  # a link to itself: reading it is an OSError now, and at no moment was it missing
        threading.Timer(0.3, os.replace, (aside, path)).start()
        lock.ensure_held()
        os.utime(path, (1, 1))
        deadline = time.monotonic() + PATIENCE
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 2


def test_the_heart_beats(path: Path) -> None:
    with StoreLock(path, heartbeat=0.05):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + PATIENCE
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 2


def test_a_damaged_lock_file_is_waited_out(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("{half")
    assert _seconds_to_acquire(path, stale_after=0.3) >= 0.3


def test_a_lost_lock_is_noticed_and_its_new_owner_left_alone(path: Path) -> None:
    with StoreLock(path) as lock:
        path.unlink()
        _write(path)
        with pytest.raises(LifecycleError, match="lost while it was held"):
            lock.ensure_held()
    assert path.exists(), "leaving must not remove the new owner's lock"


def test_many_waiters_on_one_dead_owner_hold_it_one_after_the_other(path: Path) -> None:
    """Two waiters judged the same owner dead; the slower one removed the lock that the faster one had just made."""
    inside: list[int] = []
    most: list[int] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                with StoreLock(path, poll=0.001, stale_after=0.001):
                    inside.append(number)
                    most.append(len(inside))
                    time.sleep(0.002)
                    inside.remove(number)
        except BaseException as error:
            errors.append(error)

    _write(path)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (len(most), max(most)) == (40, 1)


def test_a_waiter_that_judged_too_early_breaks_nothing(path: Path) -> None:
    """The race itself, step by step: judge the owner dead, let another one take the lock, then try to break."""
    _write(path, **here())
    slow = StoreLock(path)
    seen = slow._look(None)
    assert seen is not None
    assert slow._owner_is_gone(seen)
    with StoreLock(path) as fast:
        assert not slow._break(seen)
        fast.ensure_held()
