"""What the statistics kernel looks up of a character: one 32-bit word of marks for every code point.

The low three bits are the class of `lifecycle.curation.words`, so that a word is the same thing everywhere.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lifecycle.corpora.encodings import COMMON_HAN, TRADITIONAL_HAN
from lifecycle.curation.words import TABLED, character_tables

CLASS = 7
HAN = 1 << 3
COMMON = 1 << 4
"""One of the 500 most frequent characters of written Chinese, simplified or traditional."""
TERMINAL = 1 << 5
"""Ends a sentence in some script: the Unicode property Sentence_Terminal, with the full-width stop."""
ALPHABETIC = 1 << 6
"""`str.isalpha`: a letter, not a combining mark."""
END = 1 << 7
"""Ends a sentence where white space or the end of the line follows: . ! ?"""
WIDE_END = 1 << 8
"""Ends a sentence whatever follows: 。！？… and their kin."""
CLOSER = 1 << 9
"""A quotation mark or bracket that may stand between the end of a sentence and what follows."""
BREAK = 1 << 10
"""Ends a line for `str.splitlines`."""
SEPARATOR = 1 << 11
"""Stands between the cells of a table: a bar or a tab (any white space does so too)."""

_TERMINALS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6 "
    "17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E "
    "2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 "
    "FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 "
    "111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 "
    "11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F "
    "1DA88"
)
_HAN_BLOCKS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_WIDE_ENDS = "。！？｡…⁇⁈⁉‼"
_CLOSERS = "\"'”’»)]}）】」』》〉］｝"
_BREAKS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"


def _common_bits() -> NDArray[np.uint32]:
    common = np.zeros(1 << 16, dtype=np.bool_)
    common[[ord(character) for character in COMMON_HAN + TRADITIONAL_HAN]] = True
    return np.packbits(common, bitorder="little").view(np.dtype("<u4")).astype(np.uint32)


COMMON_BITS = _common_bits()
"""Which characters of 16 bits are common, 32 to an entry."""


@lru_cache(maxsize=1)
def mark_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Marks and lower-case form of every code point below `TABLED`."""
    return _mark_table(), character_tables()[1]


def _mark_table() -> NDArray[np.uint32]:
    classes, _ = character_tables()
    marks = classes.astype(np.uint32)
    marks[np.strings.isalpha(np.arange(TABLED, dtype=np.uint32).view("U1"))] |= ALPHABETIC
    for first, last in _HAN_BLOCKS:
        block = marks[first : last + 1]
        block[block & CLASS != 0] |= HAN
    for first, last in ranges(_TERMINALS):
        marks[first : last + 1] |= TERMINAL
    for characters, mark in (
        (COMMON_HAN + TRADITIONAL_HAN, COMMON),
        (".!?", END),
        (_WIDE_ENDS, WIDE_END),
        (_CLOSERS, CLOSER),
        (_BREAKS, BREAK),
        ("\t|｜", SEPARATOR),
    ):
        marks[[ord(character) for character in set(characters)]] |= mark
    return marks


def ranges(text: str) -> list[tuple[int, int]]:
    """Code points in hexadecimal, alone or as `first-last`, as pairs of first and last."""
    pairs = [item.partition("-") for item in text.split()]
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]
