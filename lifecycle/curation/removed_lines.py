"""`repeated_lines.npy`: hashes of the lines that cleaning takes out of a source, to follow one document later."""

from pathlib import Path

import numpy as np

from lifecycle.curation.repeated_lines import Hashes
from lifecycle.errors import DataError

NAME = "repeated_lines.npy"


def write_removed(directory: Path, hashes: Hashes) -> None:
    """Write the hashes in order, shape (lines,), where there are any."""
    if hashes:
        np.save(directory / NAME, np.fromiter(sorted(hashes), dtype=np.uint64, count=len(hashes)), allow_pickle=False)


def read_removed(directory: Path) -> Hashes:
    """The hashes of a cleaned source; none where it has no such lines. Raises DataError for a damaged file."""
    path = directory / NAME
    if not path.exists():
        return frozenset()
    try:
        return frozenset(np.load(path, allow_pickle=False).tolist())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable: {error}; make cleaned_corpora again") from error
