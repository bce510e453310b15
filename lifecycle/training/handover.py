"""The output of a job: filled where only its own launcher's ranks write, then handed over whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.training.ownership import Owner

PREFIX = ".output-"


@contextmanager
def private_output(directory: Path, owner: Owner) -> Iterator[Path]:
    """A folder in `directory` that no other launcher's ranks write to, removed at the end.

    Those that killed launchers left behind are removed first: what may still run of them writes into nothing.
    """
    for left in directory.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    output = directory / f"{PREFIX}{owner.token}"
    output.mkdir()
    try:
        yield output
    finally:
        shutil.rmtree(output, ignore_errors=True)


def hand_over(output: Path, target: Path) -> None:
    """Make `output` the folder `target` by one rename, in place of what an earlier launcher of the same job handed over."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        earlier = output.with_name(f"{output.name}-earlier")
        os.rename(target, earlier)
        shutil.rmtree(earlier)
    os.rename(output, target)
