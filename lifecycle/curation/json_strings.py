"""The value of a string in JSON, as UTF-8 and without making a string of Python, sixty-four bytes at a time.

A parser makes a string of it, whose characters take two bytes each in Chinese, and what is written next is UTF-8 again: two
thirds of what it takes to read a line. What is accepted are strings as RFC 8259 has them, in well-formed UTF-8 (table 3-7 of
the Unicode standard); of anything else, and of surrogates, nothing is said. It is in this package because what is kept of
compiled code belongs to the modules of one package (`compiled`).
"""

import numpy as np

from lifecycle.curation.buffers import Bytes
from lifecycle.curation.byte_masks import ALL, BLOCK, ONE, TWO, bytes_between, copy_block, highest_bit
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.eight_bytes import bits_set, byte_at, lowest_bit

_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_ENDS, _GOES_ON, _UNSURE = 0, 1, 2
_THREE = np.uint64(3)
_MEANINGS = np.zeros(256, np.uint8)
"""What each byte stands for behind a backslash, 0 where it is no escape of one byte."""
_MEANINGS[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_SPARE = 3 * BLOCK


def room(size: int = 1 << 18) -> Bytes:
    """Scratch for `utf8_of`, enough for lines of nearly this size."""
    return np.empty(size, np.uint8)


def utf8_of(line: bytes, begin: int, scratch: Bytes) -> tuple[int, bytes, int] | None:
    """The value of the string whose first byte behind the quotation mark is at `begin`: where the closing mark is, the value
    in UTF-8, and how many characters it has; None where nothing is said of it.

    Args:
        scratch: what `room` gave. A line that is too long for it gets its own.
    """
    needed = len(line) - begin + _SPARE
    out = scratch if scratch.size >= needed else room(needed)
    end, size, characters = _unescape(line, begin, out)
    return None if end < 0 else (end, out[:size].tobytes(), characters)


@compiled
def _unescape(line: bytes, begin: int, out: Bytes) -> tuple[int, int, int]:
    """Write the value of a string to `out`, which has `_SPARE` bytes more than there are from `begin` on.

    Returns:
        Where the closing quotation mark is, or -1 where nothing is said of this string; how many bytes were written, and
        how many characters they are.
    """
    size = len(line)
    position, place, count, state = _blocks(line, begin, size - BLOCK, out, 0, 0)
    if state == _GOES_ON:  # what is left is shorter than a block
        copy, rest = out.size - 2 * BLOCK, size - position
        for step in range(rest):
            out[copy + step] = byte_at(line, position + step)
        out[copy + rest] = 0  # which no string may hold
        end, place, count, state = _blocks(out, copy, copy + rest, out, place, count)
        position += end - copy
    return (position if state == _ENDS else -1), place, count


@inner
def _blocks(line: bytes | Bytes, position: int, last: int, out: Bytes, place: int, count: int) -> tuple[int, int, int, int]:
    """Go on from `position` while a block may begin there, up to `last`: where that ended, bytes and characters, and how."""
    while position <= last:
        size, characters, sound = _plain_run(line, position)
        if not sound:
            return position, place, count, _UNSURE
        copy_block(line, position, out, place)
        position += size
        place += size
        count += characters
        if size == BLOCK or position > last:
            continue
        byte = byte_at(line, position)
        if byte == _QUOTE:
            return position, place, count, _ENDS
        while byte == _BACKSLASH and position <= last:
            kind = byte_at(line, position + 1)
            if kind == ord("u"):
                point = _point(line, position + 2)
                if point < 0:
                    return position, place, count, _UNSURE
                place = _encode(point, out, place)
                position += 6
            elif _MEANINGS[kind]:
                out[place] = _MEANINGS[kind]
                place += 1
                position += 2
            else:
                return position, place, count, _UNSURE
            count += 1
            byte = byte_at(line, position)
        if byte < 0x20:
            return position, place, count, _UNSURE
    return position, place, count, _GOES_ON


@inner
def _plain_run(line: bytes | Bytes, position: int) -> tuple[int, int, bool]:
    """How many of the `BLOCK` bytes from `position` on, where a character begins, come before a quotation mark, a backslash,
    a control character or a character that is not whole, how many characters they are, and whether they are well-formed."""
    ends = bytes_between(line, position, _QUOTE, _QUOTE) | bytes_between(line, position, _BACKSLASH, _BACKSLASH)
    ends |= bytes_between(line, position, 0, 0x1F)
    size = lowest_bit(ends)
    beyond = bytes_between(line, position, 0x80, 0xFF)
    if not beyond:
        return size, size, True
    following, three = bytes_between(line, position, 0x80, 0xBF), bytes_between(line, position, 0xE0, 0xEF)
    two = four = np.uint64(0)
    if beyond & ~(following | three):
        two, four = bytes_between(line, position, 0xC2, 0xDF), bytes_between(line, position, 0xF0, 0xF4)
    if size == BLOCK:
        begins = highest_bit(~following)
        if begins < BLOCK - 4:
            return 0, 0, False
        size = begins if beyond >> np.uint64(begins) & ONE else BLOCK
    wrong = following ^ ((two | three | four) << ONE | (three | four) << TWO | four << _THREE)
    wrong |= beyond & ~(following | two | three | four)
    second = bytes_between(line, position, 0xE0, 0xE0) << ONE
    if second:
        wrong |= second & bytes_between(line, position, 0x80, 0x9F)
    second = bytes_between(line, position, 0xED, 0xED) << ONE
    if second:
        wrong |= second & bytes_between(line, position, 0xA0, 0xBF)
    if four:
        wrong |= bytes_between(line, position, 0xF0, 0xF0) << ONE & bytes_between(line, position, 0x80, 0x8F)
        wrong |= bytes_between(line, position, 0xF4, 0xF4) << ONE & bytes_between(line, position, 0x90, 0xBF)
    up_to = ALL >> np.uint64(max(0, BLOCK - 1 - size))  # what ends it must not continue a character either
    run = up_to >> ONE if size < BLOCK else ALL
    return size, bits_set(run & ~following), wrong & up_to == 0


@inner
def _point(line: bytes | Bytes, position: int) -> int | np.int64:
    """What four hexadecimal digits say, or -1 where they are none or speak of a surrogate."""
    point = 0
    for place in range(position, position + 4):
        byte = np.int64(byte_at(line, place))
        if 48 <= byte <= 57:
            digit = byte - 48
        elif 65 <= byte <= 70 or 97 <= byte <= 102:
            digit = (byte & 0xDF) - 55
        else:
            return -1
        point = point << 4 | digit
    return -1 if 0xD800 <= point <= 0xDFFF else point


@inner
def _encode(point: int | np.int64, out: Bytes, place: int) -> int:
    """Write a character of up to 16 bits; returns where it ends."""
    if point < 0x80:
        out[place] = point
        return place + 1
    if point < 0x800:
        out[place] = 0xC0 | point >> 6
    else:
        out[place] = 0xE0 | point >> 12
        place += 1
        out[place] = 0x80 | point >> 6 & 0x3F
    out[place + 1] = 0x80 | point & 0x3F
    return place + 2
