"""Work spread over processes that do not inherit the threads of the orchestrator."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import psutil

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_WORKER = 4
WATCH_SECONDS = 1.0


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function` over `items` in worker processes, results in order, a bounded number of items in flight.

    A fork of a process with threads can deadlock, so workers come from a fork server. With one worker, or where there is
    one item only, everything runs here.
    """
    source = iter(items)
    first = list(islice(source, 2))
    source = chain(first, source)
    if workers == 1 or len(first) < 2:
        yield from map(function, source)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        waiting = [pool.submit(function, item) for item in islice(source, workers * IN_FLIGHT_PER_WORKER)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(function, item) for item in islice(source, 1)]
        finally:
            for future in waiting:
                future.cancel()


def _end_with(orchestrator: int) -> None:
    """End this worker when the orchestrator is gone: after SIGKILL nothing else would tell a worker to stop."""

    def watch() -> None:
        process = psutil.Process(orchestrator) if psutil.pid_exists(orchestrator) else None
        while process is not None and process.is_running():
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="orchestrator watch", daemon=True).start()


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of `size`, the last one shorter."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
