"""Ctrl-C for `lifecycle run`: the work happens in a child process, and this one only waits, listens and keeps time.

Signals that reach Dagster's own process are not enough: between two steps, at the end of a job and while it waits for a
pool's slot Dagster only notes them, and a library in the middle of a long call answers when it returns.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

from lifecycle.training.parent import PARENT, die_with_parent

UNWIND_SECONDS = 5.0
"""From the end of the training program (or, without one, from Ctrl-C) until what still runs is killed."""
POLL_SECONDS = 0.05
LAUNCHER = "lifecycle.training.launch"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervised(work: Callable[[], None]) -> None:
    """Do `work` in a child process; returns there only, and exits here with the child's status.

    The first Ctrl-C (or SIGTERM, or a closed terminal) asks a training program for its checkpoint and everything else to
    stop; the second ends all of it at once. The exit status is then 128 + the signal, 130 for Ctrl-C.
    """
    asked: list[int] = []
    for number in STOPS:
        signal.signal(number, lambda given, _: asked.append(given))
    sys.stdout.flush()
    sys.stderr.flush()
    supervisor = os.getpid()
    worker = os.fork()
    if worker:
        raise SystemExit(_supervise(worker, asked))
    for number in STOPS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ[PARENT] = str(supervisor)
    die_with_parent(signal.SIGKILL)
    os.setsid()  # the terminal's Ctrl-C reaches the supervisor alone, not each of the processes below
    try:
        work()
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(128 + signal.SIGINT)  # a regular exit may wait for the threads of a pool


def _supervise(worker: int, asked: list[int]) -> int:
    """Wait for the worker; returns the exit status of this command."""
    answered = 0
    last_busy = 0.0
    while True:
        if os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        if len(asked) > answered:
            answered += 1
            last_busy = time.monotonic()
            if answered == 1:
                _say("Stopping. What is finished is kept, and the same command continues. Ctrl-C again ends it at once.")
                _ask(worker)
            else:
                _kill(worker)
        if asked and any(_launchers(worker)):
            last_busy = time.monotonic()
        if asked and time.monotonic() - last_busy > UNWIND_SECONDS:
            _kill(worker)
        time.sleep(POLL_SECONDS)
    if asked:
        _kill_group(worker)  # before its number is free for another process
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if asked:
        return 0 if code == 0 else 128 + asked[0]
    return code if code >= 0 else 128 - code


def _ask(worker: int) -> None:
    """Dagster's way and, because Dagster may only note it, the training program's own."""
    launchers = list(_launchers(worker))
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGINT)
    for launcher in launchers:
        with suppress(psutil.NoSuchProcess):
            launcher.terminate()


def _kill(worker: int) -> None:
    """End the worker, its launchers (their ranks die with them) and the processes of its session."""
    launchers = list(_launchers(worker))
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    for launcher in launchers:
        with suppress(psutil.NoSuchProcess):
            launcher.kill()
    _kill_group(worker)


def _kill_group(worker: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker, signal.SIGKILL)


def _launchers(worker: int) -> Iterator[psutil.Process]:
    """The worker's training programs. They live in sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(worker).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if LAUNCHER in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    yield child


def _say(text: str) -> None:
    with suppress(OSError):  # a closed terminal
        print(text, file=sys.stderr, flush=True)
