"""Citations in the text of a line, which C4's rules do not see: [12], [edit] and [citation needed]."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.byte_masks import bytes_between
from lifecycle.curation.compiled import inner

Bytes = NDArray[np.uint8]

_BRACKET, _C, _E = 91, 99, 101


@inner
def without_citations(buffer: Bytes, begin: int, end: int, spare: Bytes) -> int:
    """Copy the line into `spare` without [digits], [edit] and [citation needed]; returns the bytes copied."""
    size = 0
    position = begin
    while position < end:
        if buffer[position] == 91:
            after = position + 1
            while after < end and 48 <= buffer[after] <= 57:
                after += 1
            if after == position + 1 and (after >= end or buffer[after] != 93):
                after = _behind(buffer, position + 1, end)
            if after < end and buffer[after] == 93:
                position = after + 1
                continue
        spare[size] = buffer[position]
        size += 1
        position += 1
    return size


@inner
def citations_in(source: Bytes, at: int) -> np.uint64:
    """Of 64 bytes, behind which is one more, the square brackets with which a citation may begin."""
    behind = bytes_between(source, at + 1, 0x30, 0x39) | bytes_between(source, at + 1, 0x5D, 0x5D)
    behind |= bytes_between(source, at + 1, _E, _E) | bytes_between(source, at + 1, _C, _C)
    return bytes_between(source, at, _BRACKET, _BRACKET) & behind


_NOTES = np.frombuffer(b"edit\0citation needed\0", dtype=np.uint8)


@inner
def _behind(buffer: Bytes, begin: int, end: int) -> int:
    """Where the note that begins here ends, or `end` when none does."""
    start = 0
    for i in range(_NOTES.size):
        if _NOTES[i] == 0:
            size = i - start
            same = begin + size <= end
            for j in range(size):
                same = same and buffer[begin + j] == _NOTES[start + j]
                if not same:
                    break
            if same:
                return begin + size
            start = i + 1
    return end
