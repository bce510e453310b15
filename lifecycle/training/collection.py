"""Garbage collection at steps of its own choosing would stop one rank while all others wait for it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 50
"""Steps between two collections of what is young, on all ranks at the same step."""


@contextmanager
def frozen() -> Iterator[None]:
    """Within it no collection looks at what exists at the beginning: modules, the model."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
