"""What Python's garbage collector need not look at again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen() -> Iterator[None]:
    """Within it no collection looks at what exists at the beginning: modules, compiled functions, a model."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
