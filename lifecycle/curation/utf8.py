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
        one, two = np.int64(byte_at(buffer, position + 1)), np.int64(byte_at(buffer, position + 2))
        if one & 0xC0 == 0x80 and two & 0xC0 == 0x80:
            return (lead & 0x0F) << 12 | (one & 0x3F) << 6 | (two & 0x3F), 3
    elif 0xC0 <= lead < 0xE0 and position + 1 < end:
        one = np.int64(byte_at(buffer, position + 1))
        if one & 0xC0 == 0x80:
            return (lead & 0x1F) << 6 | (one & 0x3F), 2
    elif lead >= 0xF0 and position + 3 < end:
        one, two, three = np.int64(byte_at(buffer, position + 1)), np.int64(byte_at(buffer, position + 2)), np.int64(byte_at(buffer, position + 3))
        if one & 0xC0 == 0x80 and two & 0xC0 == 0x80 and three & 0xC0 == 0x80:
            return (lead & 0x07) << 18 | (one & 0x3F) << 12 | (two & 0x3F) << 6 | (three & 0x3F), 4
    return REPLACEMENT, 1
