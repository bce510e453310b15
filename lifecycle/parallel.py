"""Work spread over processes that do not inherit the threads of the orchestrator, here or on a Ray cluster."""

import gc
import multiprocessing
import os
import pickle
import reprlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, Literal, TypeVar

import psutil

from lifecycle.collection import frozen
from lifecycle.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
Executor = Literal["local", "ray"]

IN_FLIGHT_PER_WORKER = 4
WATCH_SECONDS = 1.0
ATTEMPTS = 3
"""Workers that may die under one item before it is given up; in a local pool the last attempt is the item's alone."""


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, executor: Executor = "local"
) -> Iterator[Result]:
    """`function` over `items` in worker processes, results in order, a bounded number of items in flight.

    With one worker, or where there is one item only, everything runs here. When a worker dies (killed, out of memory), what
    it had not finished is done again by another one, so that `function` must not mind being called twice with an item.

    Args:
        workers: processes; on Ray the bound on items in flight, as the cluster decides how many of them run.
        executor: a pool of processes on this machine, or Ray (see `lifecycle.parallel_ray`).

    Raises:
        DataError: `ATTEMPTS` workers died of one item; the message names it. What `function` raises passes through.
    """
    source = iter(items)
    first = list(islice(source, 2))
    source = chain(first, source)
    if len(first) < 2 or (workers == 1 and executor == "local"):
        with frozen():  # a tenth of the time of short work went into collections that looked at modules
            yield from map(function, source)
    elif executor == "ray":
        from lifecycle.parallel_ray import ray_map

        yield from ray_map(function, source, workers)
    else:
        yield from _pool_map(function, source, workers)


@dataclass
class _Task(Generic[Item]):
    item: Item
    future: Future | None = None
    deaths: int = 0
    """Pools that broke before this item was done."""


def _pool_map(function: Callable[[Item], Result], source: Iterator[Item], workers: int) -> Iterator[Result]:
    """A dying worker breaks its pool, and nobody can tell which of the items in flight it had: each of them is done again in
    a fresh pool, and one that saw two pools break is tried alone, so that no item is blamed for another."""
    work = pickle.dumps(function)
    _preload(function)
    waiting: deque[_Task[Item]] = deque()
    pool = _pool(work, workers)
    try:
        while True:
            waiting.extend(_Task(item) for item in islice(source, workers * IN_FLIGHT_PER_WORKER - len(waiting)))
            if not waiting:
                return
            try:
                for task in waiting:
                    task.future = task.future or pool.submit(_call, task.item)
                assert waiting[0].future is not None
                result = waiting[0].future.result()
            except BrokenProcessPool:
                pool.shutdown()
                _forget_unfinished(waiting)
                _do_alone(waiting, work)
                pool = _pool(work, workers)
                continue
            waiting.popleft()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(work: bytes, workers: int) -> ProcessPoolExecutor:
    """A fork of a process with threads can deadlock, so workers come from a fork server."""
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(os.getpid(), work))


def _preload(function: Callable[..., Any]) -> None:
    """Have the fork server import the module of `function` for all its workers, unless it runs already.

    Each of them would import it otherwise: numba, Arrow and the recipe take almost a second.
    """
    module = getattr(function, "func", function).__module__  # of a partial, that of what it calls
    multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", module])


def _forget_unfinished(waiting: Iterable[_Task]) -> None:
    for task in waiting:
        if task.future is None or not task.future.done():
            task.future = None
        elif isinstance(task.future.exception(), BrokenProcessPool):
            task.future = None
            task.deaths += 1


def _do_alone(waiting: Iterable[_Task], work: bytes) -> None:
    """Try each item that saw all pools but one break in a pool of its own; raises DataError when that breaks, too."""
    for task in waiting:
        if task.future is None and task.deaths >= ATTEMPTS - 1:
            with _pool(work, 1) as pool:
                task.future = pool.submit(_call, task.item)
            if isinstance(task.future.exception(), BrokenProcessPool):
                raise worker_died(task.item)


def worker_died(item: object) -> DataError:
    """The error for an item that no worker survives."""
    return DataError(
        f"{_name(item)}: {ATTEMPTS} worker processes died of this item (killed from outside, out of memory, or a crash in "
        "native code). Look for the out-of-memory killer in the kernel's log; use fewer `workers`, or take the item out"
    )


def _name(item: object) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 300
    short.maxlist = short.maxtuple = 1
    return short.repr(item)


_work: tuple[bytes, Callable[[Any], Any] | None] = (b"", None)


def _begin(orchestrator: int, work: bytes) -> None:
    """Start of a worker; the function is unpickled at the first item, as an error here would not reach the caller."""
    global _work
    _work = work, None
    _end_with(orchestrator)


def _call(item: Any) -> Any:
    global _work
    packed, function = _work
    if function is None:
        function = pickle.loads(packed)
        _work = packed, function
        gc.freeze()
    return function(item)


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
