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
from lifecycle.curation.compiled import compiled
from lifecycle.curation.eight_bytes import EIGHT, HIGH, ONES, bytes_like, eight_bytes, lowest_bit, store_eight_bytes
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
_TAB, _NEWLINE, _BLANK, _A_TILDE, _A_HAN = 9, 10, 32, 0xC3, 0x5000
_HAN_BITS, _HAN_FORM = np.uint64(0xC0C0F0C0C0F0), np.uint64(0x8080E08080E0)
"""Two characters of three bytes, of U+0000 to U+FFFF."""
_ONE_HAN_BITS, _ONE_HAN_FORM = np.uint64(0xC0C0F0), np.uint64(0x8080E0)
_NEARLY = ONES * np.uint64(0xFC)
"""With these bits left, the first bytes of all blanks of three bytes are 0xE0."""


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


@compiled
def _screen_one(buffer: Bytes, begin: int, end: int, marks: NDArray[np.uint32]) -> tuple[int | np.int64, int]:
    found = 0
    count = 0
    before, mark_before = 0, 0
    newlines = 1 if begin < end and buffer[begin] == _NEWLINE else 0
    if newlines:
        found |= WHITE
        newlines = 0
    position = begin
    while position < end:
        if position + EIGHT <= end and not mark_before & _ODD_LATIN and before != _A_TILDE:
            word = eight_bytes(buffer, position)
            plain = lowest_bit(_other_than_plain(word)) >> 3
            if plain:
                position += plain
                count += plain
                before, mark_before, newlines = np.int64(buffer[position - 1]), 0, 0
                continue
            if word & _ONE_HAN_BITS == _ONE_HAN_FORM and _begins_han(word):
                two = word & _HAN_BITS == _HAN_FORM and _begins_han(word >> np.uint64(24))
                position += 6 if two else 3
                count += 2 if two else 1
                found |= HAN
                before, mark_before, newlines = _A_HAN, HAN, 0
                continue
        byte = buffer[position]
        if byte < 0x80:
            point, position = np.int64(byte), position + 1
        else:
            point, width = decode(buffer, position, end)
            position += width
        count += 1
        mark = np.int64(marks[point]) if point < marks.size else FORM
        if point == _NEWLINE:
            newlines += 1
            if newlines > 3 or before in (_BLANK, _TAB) or mark_before & _SPACE:
                found |= WHITE
        else:
            newlines = 0
        found |= mark & 0xFF
        if mark & _SPACE:
            found |= WHITE
        if (mark_before >> _LEAD) & (mark >> _FOLLOWING) & _ALL or (before == _A_TILDE and point == _BLANK):
            found |= MOJIBAKE
        if (mark & _ODD_LATIN and _is_letter(before)) or (mark_before & _ODD_LATIN and _is_letter(point)):
            found |= ALIKE
        before, mark_before = point, mark
    if count and before in (_NEWLINE, _BLANK, _TAB):
        found |= WHITE
    return found, count


@compiled
def _other_than_plain(word: np.uint64) -> np.uint64:
    """No bit below the first byte of eight that is no blank, letter, digit or sign of ASCII of which no repair takes notice;
    the highest bit of that byte."""
    return (
        word & HIGH
        | (word - ONES * np.uint64(32)) & HIGH
        | bytes_like(word, ord("<"))
        | bytes_like(word, ord("&"))
        | bytes_like(word, 0x7F)
    )


@compiled
def _begins_han(word: np.uint64) -> Any:
    """Whether the first two of eight bytes begin a character of U+4E00 to U+9FFF."""
    first_two = (word & np.uint64(0xFF)) << np.uint64(8) | word >> np.uint64(8) & np.uint64(0xFF)
    return 0xE4B8 <= first_two <= 0xE9BF


@compiled
def _is_letter(point: int | np.int64) -> Any:
    return 65 <= point <= 90 or 97 <= point <= 122


@compiled
def tidy(buffer: Bytes, begin: int, end: int, marks: NDArray[np.uint32], out: Bytes, at: int) -> int:
    """Write what `normalise.white_space` makes of one document to `out` from place `at` on; returns where it ends."""
    line = place = at
    newlines = 0
    position = begin
    while position < end:
        while position + EIGHT <= end:
            word = eight_bytes(buffer, position)
            store_eight_bytes(out, place, word)
            found = bytes_like(word, _NEWLINE) | bytes_like(word, 0xC2) | bytes_like(word & _NEARLY, 0xE0)
            step = lowest_bit(found) >> 3
            position += step
            place += step
            if step < EIGHT:
                break
        if position == end:
            break
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


@compiled
def _trimmed(out: Bytes, line: int, place: int) -> int:
    while place > line and (out[place - 1] in (_BLANK, _TAB)):
        place -= 1
    return place
