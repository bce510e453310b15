"""Work spread over processes that do not inherit the threads of the orchestrator."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_WORKER = 4


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
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        waiting = [pool.submit(function, item) for item in islice(source, workers * IN_FLIGHT_PER_WORKER)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(function, item) for item in islice(source, 1)]
        finally:
            for future in waiting:
                future.cancel()


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of `size`, the last one shorter."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
