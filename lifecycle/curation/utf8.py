"""UTF-8 for compiled code."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import byte_at

REPLACEMENT = 0xFFFD
"""Stands for a byte that does not belong to a character; a symbol."""


@inner
def decode(buffer: NDArray[np.uint8], position: int, end: int) -> tuple[int | np.int64, int]:
    """The code point at a byte, and how many bytes it takes; never reads at or beyond `end`.

    Lone surrogates in three bytes pass as themselves: text that Python holds must not be a text that we cannot count.
    """
    lead = np.int64(byte_at(buffer, position))
    if lead < 0x80:
        return lead, 1
    if 0xE0 <= lead < 0xF0 and position + 2 < end:
        one, two = _next(buffer, position + 1), _next(buffer, position + 2)
        if one >= 0 and two >= 0:
            return (lead & 0x0F) << 12 | one << 6 | two, 3
    elif 0xC0 <= lead < 0xE0 and position + 1 < end:
        one = _next(buffer, position + 1)
        if one >= 0:
            return (lead & 0x1F) << 6 | one, 2
    elif lead >= 0xF0 and position + 3 < end:
        one, two, three = _next(buffer, position + 1), _next(buffer, position + 2), _next(buffer, position + 3)
        if one >= 0 and two >= 0 and three >= 0:
            return (lead & 0x07) << 18 | one << 12 | two << 6 | three, 4
    return REPLACEMENT, 1


@inner
def _next(buffer: NDArray[np.uint8], position: int) -> np.int64 | int:
    """The six bits of a byte that continues a character, or -1."""
    byte = np.int64(byte_at(buffer, position))
    return byte & 0x3F if byte & 0xC0 == 0x80 else -1
