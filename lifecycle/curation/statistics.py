"""Statistics of many documents at once: the door to the compiled kernel."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.curation.buffers import buffers_of, encoded
from lifecycle.curation.columns import COLUMNS
from lifecycle.curation.kernel import score
from lifecycle.curation.marks import mark_tables

Columns = dict[str, NDArray[np.int64]]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's (Rae et al. 2021)."""
_STOP_LETTERS = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], dtype=np.uint64)
WIDE_LANGUAGES = frozenset({"zh", "ja"})
"""Languages written without blanks, with sentence marks of their own."""


def statistics(texts: Sequence[str], languages: Sequence[str]) -> Columns:
    """Every column of `COLUMNS` for some documents, each of shape (documents,); languages are ISO 639-1 codes."""
    return _score(*encoded(texts), languages)


def statistics_of_arrow(texts: pa.Array, languages: Sequence[str]) -> Columns:
    """The same of an Arrow string array, whose buffers are read where they are."""
    return _score(*buffers_of(texts), languages)


def _score(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], languages: Sequence[str]) -> Columns:
    buffer.flags.writeable = False  # another type for numba, which would compile the kernel once more
    marks, lower = mark_tables()
    out = np.empty((offsets.size - 1, len(COLUMNS)), dtype=np.int64)
    wide = np.array([language in WIDE_LANGUAGES for language in languages], dtype=np.uint8)
    if wide.size != out.shape[0]:
        raise ValueError(f"{wide.size} languages for {out.shape[0]} texts")
    score(buffer, offsets, wide, marks, lower, _STOP_LETTERS, out)
    return dict(zip(COLUMNS, np.ascontiguousarray(out.T), strict=True))
