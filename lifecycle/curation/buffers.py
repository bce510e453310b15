"""String columns as UTF-8 bytes and offsets, which compiled code reads where they are."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.curation.byte_masks import characters_between
from lifecycle.curation.compiled import compiled

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


def buffers_of(texts: pa.Array | pa.ChunkedArray) -> tuple[Bytes, Integers]:
    """The UTF-8 bytes of a string column and where each text begins in them, shape (documents + 1,); nothing is copied
    where the column is one chunk."""
    if isinstance(texts, pa.ChunkedArray):  # `combine_chunks` copies a single chunk, too
        texts = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
    if texts.null_count:
        raise ValueError(f"{texts.null_count} texts are null")
    _, offsets, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    places = np.frombuffer(offsets or bytes(8), dtype=width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    buffer = np.frombuffer(data or b"", dtype=np.uint8)
    buffer.flags.writeable = False  # a writable one is another type for numba, which would compile every kernel twice
    return buffer, places


def column_of(buffer: Bytes, offsets: Integers) -> pa.LargeStringArray:
    """The string column of some UTF-8 bytes."""
    return pa.LargeStringArray.from_buffers(offsets.size - 1, pa.py_buffer(offsets), pa.py_buffer(buffer))


def encoded(texts: Sequence[str]) -> tuple[Bytes, Integers]:
    """The same as `buffers_of` for some strings; lone surrogates pass as three bytes."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(each) for each in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), dtype=np.uint8), offsets


def text_of(buffer: Bytes, offsets: Integers, document: int) -> str:
    """One text of a column."""
    return bytes_of(buffer, offsets, document).decode("utf-8", "surrogatepass")


def bytes_of(buffer: Bytes, offsets: Integers, document: int) -> bytes:
    """One text of a column, in UTF-8."""
    return buffer[offsets[document] : offsets[document + 1]].tobytes()


def beginning_of(buffer: Bytes, offsets: Integers, document: int, size: int) -> str:
    """The first `size` bytes of one text of a column, less a character that is cut."""
    end = min(offsets[document + 1], offsets[document] + size)
    return buffer[offsets[document] : end].tobytes().decode("utf-8", "ignore")


def lengths_of(buffer: Bytes, offsets: Integers) -> Integers:
    """Characters of each text of a column, shape (documents,)."""
    lengths = np.empty(offsets.size - 1, np.int64)
    _count(buffer, offsets, lengths)
    return lengths


@compiled
def longest_of(offsets: Integers) -> int:
    """Bytes of the longest text of a column."""
    longest = 0
    for i in range(offsets.size - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest


@compiled
def _count(buffer: Bytes, offsets: Integers, lengths: Integers) -> None:
    for i in range(lengths.size):
        lengths[i] = characters_between(buffer, offsets[i], offsets[i + 1])
