"""Which texts need a repair at all: one pass over UTF-8, so that Python looks at damaged text only.

A flag is raised where a repair could change the text, and sometimes where it would not; without any, every repair of
`normalise` leaves the text as it is. What white space needs is exact, and done here as well.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers, encoded
from lifecycle.curation.byte_masks import ALL, BLOCK, LAST, ONE, TWO, bytes_between, copy_block, highest_bit
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.eight_bytes import bits_set, lowest_bit
from lifecycle.curation.enclosed_numbers import WRITTEN_OUT
from lifecycle.curation.marks import ranges
from lifecycle.curation.mojibake import ENCODINGS, LOST, characters_of
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import TABLED

Flags = NDArray[np.uint16]

WHITE = 1
"""`white_space` changes the text, exactly."""
CONTROL = 2
FULL_WIDTH = 4
"""A character that is written in ASCII, or a number inside one character."""
MOJIBAKE = 8
FORM = 16
"""Not certain to be in Unicode NFC."""
ALIKE = 32
MARKUP = 64
HAN = 128

_SPACE, _ODD_LATIN = 256, 512
"""Marks that are no flag by themselves: blanks other than U+0020, and the blocks of Greek and Cyrillic."""
_LEAD, _FOLLOWING = 12, 22
"""From these bits on, one bit for each encoding in which a character looks like a lead or a continuation byte of UTF-8."""
_ALL = (1 << len(ENCODINGS)) - 1

_CONTROLS = "0-8 B-1F 7F-9F AD 200B-200F 2028-202E 2060-2069 FEFF FFF9-FFFB"
_BLANKS = "A0 1680 2000-200A 202F 205F 3000"
_WIDE_FORMS = "FF02-FF07 FF0A FF0B FF0D FF0F-FF19 FF1C-FF1E FF20-FF3A FF3C FF3E-FF5A FF5C"
_HAN_BLOCKS = "3400-4DBF 4E00-9FFF F900-FAFF"
_LOOK_ALIKE_BLOCKS = "370-4FF"
_NOT_ONLY_WHOLE = "300-33FF 4DC0-4DFF A000-ABFF D7A4-DFFF F900-1FFFF 2F800-2FFFF"
"""All below `TABLED` but Latin, and the blocks of unified Han characters, syllables of hangul and private use, none of which
has parts in Unicode's table or combines."""
_TAB, _NEWLINE, _BLANK, _A_TILDE = 9, 10, 32, 0xC3
_CJK_SIGNS = 0x81, 0xA9
"""The third bytes of U+3001 to U+3029."""


@lru_cache(maxsize=1)
def screen_table() -> NDArray[np.uint32]:
    """The marks of every code point below `TABLED`; those above are marked as possibly not in NFC."""
    marks = np.zeros(TABLED, dtype=np.uint32)
    for blocks, mark in (
        (_CONTROLS, CONTROL),
        (_BLANKS, _SPACE),
        (_WIDE_FORMS, FULL_WIDTH),
        (_HAN_BLOCKS, HAN),
        (_LOOK_ALIKE_BLOCKS, _ODD_LATIN),
    ):
        for first, last in ranges(blocks):
            marks[first : last + 1] |= mark
    marks[[ord(character) for character in "<&"]] |= MARKUP
    for number, encoding in enumerate(ENCODINGS):
        for first, last, place in ((0xC2, 0xF5, _LEAD), (0x80, 0xC0, _FOLLOWING)):
            looking = [ord(character) for character in characters_of(encoding, first, last)]
            marks[looking] |= np.uint32(1 << place + number)
    marks[[ord(character) for character in LOST]] |= np.uint32(_ALL << _FOLLOWING)
    marks[[ord(character) for character in WRITTEN_OUT]] |= FULL_WIDTH
    marks[_not_surely_composed()] |= FORM
    return marks


def _not_surely_composed() -> list[int]:
    """Code points that NFC changes or may join with the one before: Unicode's quick check says no or maybe."""
    found = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # vowels and finals of hangul
    for first, last in ranges(_NOT_ONLY_WHOLE):
        for point in range(first, last + 1):
            character = chr(point)
            decomposition = unicodedata.decomposition(character)
            if unicodedata.combining(character) or (decomposition and not unicodedata.is_normalized("NFC", character)):
                found.add(point)
            if decomposition and decomposition[0] != "<":
                found.update(int(part, 16) for part in decomposition.split()[1:])
    found.update(int(part, 16) for point in range(0xA0, 0x300) for part in _tail(chr(point)))
    return sorted(found)


def _tail(character: str) -> list[str]:
    decomposition = unicodedata.decomposition(character)
    return decomposition.split()[1:] if decomposition and decomposition[0] != "<" else []


def flags_of(text: str) -> int:
    """The flags of one text."""
    flags = np.zeros(1, np.uint16)
    screen(*encoded([text]), screen_table(), flags, np.zeros(1, np.int64))
    return int(flags[0])


@compiled
def screen(buffer: Bytes, offsets: Integers, marks: NDArray[np.uint32], flags: Flags, characters: Integers) -> None:
    """Fill the flags and the number of characters of each document, shapes (documents,)."""
    for i in range(offsets.size - 1):
        flags[i], characters[i] = _screen_one(buffer, offsets[i], offsets[i + 1], marks)


@inner
def _screen_one(buffer: Bytes, begin: int, end: int, marks: NDArray[np.uint32]) -> tuple[int | np.int64, int]:
    found = 0
    count = 0
    mark_before = 0
    position = begin
    while position < end:
        if position + BLOCK <= buffer.size:
            size, characters, flags = _plain_run(buffer, begin, position, end)
            if size:
                position += size
                count += characters
                found |= flags
                mark_before = 0
                continue
        point, width = decode(buffer, position, end)
        mark = np.int64(marks[point]) if point < marks.size else FORM
        found |= mark & 0xFF
        if mark & _SPACE or (point == _NEWLINE and _is_odd_newline(buffer, begin, position)):
            found |= WHITE
        behind = buffer[position + width] if position + width < end else 0
        if (mark_before >> _LEAD) & (mark >> _FOLLOWING) & _ALL or (point == _A_TILDE and behind == _BLANK):
            found |= MOJIBAKE
        if mark & _ODD_LATIN and (_is_letter(behind) or (position > begin and _is_letter(buffer[position - 1]))):
            found |= ALIKE
        position += width
        count += 1
        mark_before = mark
    if begin < end and (buffer[begin] == _NEWLINE or buffer[end - 1] in (_NEWLINE, _BLANK, _TAB)):
        found |= WHITE
    return found, count


@inner
def _plain_run(buffer: Bytes, begin: int, position: int, end: int) -> tuple[int, int, int]:
    """How many bytes and characters from `position` on no repair but that of white space takes notice of, alone or beside
    others, and the flags that they raise; up to `BLOCK` bytes, which the buffer must have.

    They are ASCII but `<`, `&` and control characters, common Han, and most of the signs that stand between Han.
    """
    inside = ALL >> np.uint64(max(0, BLOCK - (end - position)))
    following = bytes_between(buffer, position, 0x80, 0xBF) & inside
    second, third = following >> ONE, following >> TWO
    han = bytes_between(buffer, position, 0xE5, 0xE9)
    han |= bytes_between(buffer, position, 0xE4, 0xE4) & bytes_between(buffer, position, 0xB8, 0xBF) >> ONE
    signs = bytes_between(buffer, position, 0xE3, 0xE3) & bytes_between(buffer, position, 0x80, 0x80) >> ONE
    signs &= bytes_between(buffer, position, *_CJK_SIGNS) >> TWO
    wide = bytes_between(buffer, position, 0xEF, 0xEF) & bytes_between(buffer, position, 0xBC, 0xBC) >> ONE
    if wide:
        others = bytes_between(buffer, position, 0x81, 0x81) | bytes_between(buffer, position, 0x88, 0x89)
        others |= bytes_between(buffer, position, 0x8C, 0x8C) | bytes_between(buffer, position, 0x9A, 0x9B)
        signs |= wide & (others | bytes_between(buffer, position, 0x9F, 0x9F)) >> TWO
    han &= second & third
    three = han | signs & second & third
    newlines = bytes_between(buffer, position, _NEWLINE, _NEWLINE)
    ascii = bytes_between(buffer, position, _BLANK, 0x7E) | bytes_between(buffer, position, _TAB, _NEWLINE)
    ascii &= ~(bytes_between(buffer, position, ord("<"), ord("<")) | bytes_between(buffer, position, ord("&"), ord("&")))
    plain = (ascii | three | three << ONE | three << TWO) & inside
    size = lowest_bit(~plain)
    run = ALL >> np.uint64(BLOCK - size) if size else np.uint64(0)
    flags = HAN if han & run else 0
    newlines &= run
    if newlines:
        blanks = bytes_between(buffer, position, _BLANK, _BLANK) | bytes_between(buffer, position, _TAB, _TAB)
        pairs = newlines & newlines >> ONE
        if newlines & blanks << ONE or pairs & pairs >> TWO:
            flags |= WHITE
        if newlines & ONE:  # what stands before the block counts, too
            for place in range(position, min(position + 3, position + size)):
                if buffer[place] == _NEWLINE and _is_odd_newline(buffer, begin, place):
                    flags |= WHITE
    return size, bits_set(run & ~following), flags


@inner
def _is_odd_newline(buffer: Bytes, begin: int, place: int) -> bool:
    """Whether a newline comes behind a blank or as the fourth in a row."""
    if place > begin and (buffer[place - 1] == _BLANK or buffer[place - 1] == _TAB):
        return True
    for before in range(place - 3, place):  # noqa: SIM110  numba compiles no generators
        if before < begin or buffer[before] != _NEWLINE:
            return False
    return True


@inner
def _is_letter(point: int | np.int64) -> Any:
    return 65 <= point <= 90 or 97 <= point <= 122


@compiled
def tidy(buffer: Bytes, begin: int, end: int, marks: NDArray[np.uint32], out: Bytes, at: int) -> int:
    """Write what `normalise.white_space` makes of one document to `out` from place `at` on; returns where it ends."""
    line = place = at
    newlines = 0
    position = begin
    while position < end:
        if position + BLOCK <= end:
            copy_block(buffer, position, out, place)
            size, behind = _tidy_run(buffer, position)
            position += size
            place += size
            if behind < size:
                line, newlines = place - behind, 1
            if size:
                continue
        byte = buffer[position]
        if byte == _NEWLINE:
            place = _trimmed(out, line, place)
            newlines = newlines + 1 if place == line else 1
            if place > at and newlines <= 3:
                out[place] = _NEWLINE
                place += 1
            line = place
            position += 1
        elif byte < 0x80:
            out[place] = byte
            place += 1
            position += 1
        else:
            point, width = decode(buffer, position, end)
            if point < marks.size and marks[point] & _SPACE:
                out[place] = _BLANK
                place += 1
            else:
                for step in range(width):
                    out[place + step] = buffer[position + step]
                place += width
            position += width
    place = _trimmed(out, line, place)
    while place > at and out[place - 1] == _NEWLINE:
        place -= 1
    return place


@inner
def _tidy_run(buffer: Bytes, position: int) -> tuple[int, int]:
    """How many bytes of the `BLOCK` from `position` on stay as they are, and how many of these come behind the last newline;
    a newline behind white space or where the block begins is not among them."""
    newlines = bytes_between(buffer, position, _NEWLINE, _NEWLINE)
    white = bytes_between(buffer, position, _TAB, _NEWLINE) | bytes_between(buffer, position, _BLANK, _BLANK)
    odd = bytes_between(buffer, position, 0xC2, 0xC2) | bytes_between(buffer, position, 0xE1, 0xE2)
    last = bytes_between(buffer, position, 0x80, 0x80)
    odd |= bytes_between(buffer, position, 0xE3, 0xE3) & (last >> ONE | LAST) & (last >> TWO | LAST)
    size = lowest_bit(odd | newlines & (white << ONE | ONE))
    newlines &= ALL >> np.uint64(BLOCK - size) if size else np.uint64(0)
    return size, size - 1 - highest_bit(newlines)


@inner
def _trimmed(out: Bytes, line: int, place: int) -> int:
    while place > line and (out[place - 1] in (_BLANK, _TAB)):
        place -= 1
    return place
