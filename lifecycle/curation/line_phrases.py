"""Phrases that C4 looks for in a line: two rare letters of each are looked for in eight bytes at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.byte_masks import bytes_between, letters_like
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import EIGHT, HIGH, ONES, bytes_like, lowest_bit, up_to_eight_bytes

Bytes = NDArray[np.uint8]

LOREM, SCRIPT, CURLY, POLICY = 1, 2, 4, 8
_FORBIDDEN = (
    ("lorem ipsum", "ps", LOREM),
    ("javascript", "ja", SCRIPT),
    ("terms of use", "rm", POLICY),
    ("privacy policy", "va", POLICY),
    ("cookie policy", "ki", POLICY),
    ("uses cookies", "ki", POLICY),
    ("use of cookies", "ki", POLICY),
    ("use cookies", "ki", POLICY),
)
"""Phrase, the rarest of its pairs of letters (which is in `_pairs`, too), and what the phrase tells."""
_PHRASES = np.frombuffer("".join(phrase for phrase, _, _ in _FORBIDDEN).encode(), dtype=np.uint8)
_PHRASE_SIZES = np.array([len(phrase) for phrase, _, _ in _FORBIDDEN], dtype=np.int64)
_PHRASE_MARKS = np.array([mark for _, _, mark in _FORBIDDEN], dtype=np.int64)
_PHRASE_PAIRS = np.array([phrase.index(pair) for phrase, pair, _ in _FORBIDDEN], dtype=np.int64)
_A, _C, _E, _I, _J, _K, _M, _P, _R, _S, _V, _CURLY = (ord(character) for character in "aceijkmprsv{")
_LOWER_CASE = ONES * np.uint64(0x20)


@inner
def hints_of(buffer: Bytes, position: int) -> np.uint64:
    """Of the 64 bytes from `position` on, behind which are two more, the braces, and those with which three letters begin of
    which every phrase has some: a line without any has no phrase."""
    last_s = letters_like(buffer, position + 2, _S)
    hints = letters_like(buffer, position, _R) & letters_like(buffer, position + 1, _M) & last_s
    hints |= letters_like(buffer, position, _I) & letters_like(buffer, position + 1, _P) & last_s
    second_a = letters_like(buffer, position + 1, _A)
    hints |= letters_like(buffer, position, _J) & second_a & letters_like(buffer, position + 2, _V)
    hints |= letters_like(buffer, position, _V) & second_a & letters_like(buffer, position + 2, _C)
    hints |= (
        letters_like(buffer, position, _K) & letters_like(buffer, position + 1, _I) & letters_like(buffer, position + 2, _E)
    )
    return hints | bytes_between(buffer, position, _CURLY, _CURLY)


@inner
def phrases_in(buffer: Bytes, begin: int, end: int) -> int:
    """Which kinds of phrase occur in a range of bytes, without regard to case, as bits."""
    found = 0
    for position in range(begin, end, EIGHT - 1):  # a pair may begin at the last of eight bytes
        word = up_to_eight_bytes(buffer, position, end)
        if bytes_like(word, _CURLY):
            found |= CURLY
        pairs = _pairs(word | _LOWER_CASE)
        while pairs:
            found |= _phrases_at(buffer, begin, end, position + (lowest_bit(pairs) >> 3))
            pairs &= pairs - np.uint64(1)
    return found


@inner
def _pairs(word: np.uint64) -> Any:
    """The highest bit of each of eight bytes with which one of the pairs begins, and of some others."""
    behind = word >> np.uint64(8)
    before_a = (_maybe(word, _J) | _maybe(word, _V)) & _maybe(behind, _A)
    before_i = _maybe(word, _K) & _maybe(behind, _I)
    return before_a | before_i | (_maybe(word, _P) & _maybe(behind, _S)) | (_maybe(word, _R) & _maybe(behind, _M))


@inner
def _maybe(word: np.uint64, byte: int) -> np.uint64:
    """`bytes_like` in fewer steps, which may also name a byte behind one that is so."""
    other = word ^ (ONES * np.uint64(byte))
    return (other - ONES) & ~other & HIGH


@inner
def _phrases_at(buffer: Bytes, begin: int, end: int, pair: int) -> int:
    """The phrases whose pair of letters is at a place."""
    found = place = 0
    for phrase in range(_PHRASE_MARKS.size):
        size = _PHRASE_SIZES[phrase]
        start = pair - _PHRASE_PAIRS[phrase]
        if start >= begin and start + size <= end and _is_phrase(buffer, start, place, size):
            found |= _PHRASE_MARKS[phrase]
        place += size
    return found


@inner
def _is_phrase(buffer: Bytes, start: int, place: int, size: int) -> bool:
    for i in range(size):
        here = buffer[start + i]
        if 65 <= here <= 90:
            here += 32
        if here != _PHRASES[place + i]:
            return False
    return True
