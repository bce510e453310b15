"""Garbage collection at steps of its own choosing would stop one rank while all others wait for it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lifecycle.collection import frozen

EVERY = 50
"""Steps between two collections of what is young, on all ranks at the same step."""


@contextmanager
def collected_seldom() -> Iterator[Callable[[int], None]]:
    """Within it nothing is collected but where the function given is called with a step divisible by `EVERY`; what exists at
    the beginning is frozen."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with frozen():
            yield _collect
    finally:
        if was_enabled:
            gc.enable()


def _collect(step: int) -> None:
    if step % EVERY == 0:
        gc.collect(1)
