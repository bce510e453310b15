"""A full disk, said in words."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.errors import LifecycleError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def telling_when_full(what: str, directory: Path) -> Iterator[None]:
    """Turn the error of a full disk or quota below `directory` into one that says what to do.

    Raises:
        LifecycleError: no space was left; with how much `directory` held by then, and how much is free around it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        written = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        free = shutil.disk_usage(directory).free
        raise LifecycleError(
            f"{what}: no space is left on the disk or quota of {error.filename or directory} ({error.strerror or error}). "
            f"{written / 1e6:,.1f} MB were written to {directory} by then, {free / 1e6:,.1f} MB are free there. Nothing "
            "partial was published: free at least as much again, or move the store to a larger disk, and run the same "
            "command"
        ) from error
