"""What counts as a word, a letter or a symbol: one rule for every script, read by all statistics and by MinHash.

A word is a run of letters and digits of one text; each Han, kana or hangul character is a word of its own. Combining
marks belong to the letter before them. Everything else separates words.
"""

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.eight_bytes import EIGHT, HIGH, ONES, lowest_bit

SYMBOL, LETTER, DIGIT, SPACE, IDEOGRAPH = range(5)
"""Classes of characters; an IDEOGRAPH is a letter that is also a word."""

TABLED = 0x40000
"""Code points above the planes 0 to 3 hold no text: private use, tags and variation selectors."""
_LETTERS_ONLY = 0x30000
"""From here on nothing but Han characters has a place in Unicode."""
_IDEOGRAPHIC = (
    (0x1100, 0x11FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x3130, 0x318F),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),
    (0x20000, 0x3FFFF),
)
_CLASS_OF_CATEGORY = {"L": LETTER, "M": LETTER, "N": DIGIT, "Z": SPACE}

Points = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]

SEED, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""A word's hash is FNV-1a over its characters in lower case, and `mix`."""
HAN_FIRST, HAN_LAST = np.uint64(0x4E00), np.uint64(0x9FFF)
"""Nearly all Han characters: each is an IDEOGRAPH, and none has a lower case."""
_TAKEN_BACK = np.array([pow(int(PRIME), size - EIGHT, 2**64) for size in range(EIGHT + 1)], dtype=np.uint64)
"""What undoes the multiplications by `PRIME` of `EIGHT - size` steps, modulo 2^64."""


@lru_cache(maxsize=1)
def character_tables() -> tuple[NDArray[np.uint8], Points]:
    """For every code point below `TABLED`: its class, and its lower-case form where that is one character."""
    lower = np.arange(TABLED, dtype=np.uint32)
    characters = lower.copy().view("U1")
    letters = np.strings.isalpha(characters)
    classes = np.where(letters, np.uint8(LETTER), np.uint8(SYMBOL))
    for point in np.flatnonzero(~letters[:_LETTERS_ONLY]).tolist():
        classes[point] = _CLASS_OF_CATEGORY.get(unicodedata.category(chr(point))[0], SYMBOL)
    for point in np.flatnonzero(np.strings.isupper(characters) | np.strings.istitle(characters)).tolist():
        folded = chr(point).lower()
        if len(folded) == 1:
            lower[point] = ord(folded)
    classes[[ord(character) for character in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"]] = SPACE
    for first, last in _IDEOGRAPHIC:
        block = classes[first : last + 1]
        block[(block == LETTER) | (block == DIGIT)] = IDEOGRAPH
    return classes, lower


def code_points(text: str) -> Points:
    """The characters of `text` as code points, shape (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@inner
def character_class(classes: NDArray[np.uint8], point: int) -> int:
    """The class of one code point."""
    return classes[point] if point < classes.shape[0] else 0


@inner
def mix(value: np.uint64) -> np.uint64:
    """Spread the bits of a 64-bit integer (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inner
def run_size(word: np.uint64) -> int:
    """How many ASCII letters and digits eight bytes begin with."""
    low = word & ~HIGH
    folded = low | ONES * np.uint64(0x20)
    digits = (low + ONES * np.uint64(0x80 - 0x30)) & ~(low + ONES * np.uint64(0x80 - 0x3A))
    letters = (folded + ONES * np.uint64(0x80 - 0x61)) & ~(folded + ONES * np.uint64(0x80 - 0x7B))
    return lowest_bit(~(digits | letters) & HIGH | word & HIGH) >> 3


@inner
def first_bytes(size: int) -> np.uint64:
    """All bits of the first so many of eight bytes."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) if size == EIGHT else (np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)


@inner
def enter_letters(value: np.uint64, word: np.uint64, size: int) -> np.uint64:
    """A word's hash with the ASCII letters and digits that eight bytes begin with, of which there are so many.

    Each of the eight is a step of the hash. Those behind the run only multiply, which is taken back at the end: no jump
    depends on where a word ends, so that the processor is at the next one while it still multiplies for this one.
    """
    folded = (word | ONES * np.uint64(0x20)) & first_bytes(size)
    for step in range(EIGHT):
        value = (value ^ (folded >> np.uint64(8 * step) & np.uint64(0xFF))) * PRIME
    return np.uint64(value * _TAKEN_BACK[size])


@inner
def han_of(word: np.uint64) -> np.uint64:
    """The character of `HAN_FIRST` to `HAN_LAST` that eight bytes begin with, or 0."""
    if word & np.uint64(0xC0C0F0) != np.uint64(0x8080E0):
        return np.uint64(0)
    six = np.uint64(0x3F)
    point = (
        (word & np.uint64(0x0F)) << np.uint64(12)
        | (word >> np.uint64(8) & six) << np.uint64(6)
        | word >> np.uint64(16) & six
    )
    return point if HAN_FIRST <= point <= HAN_LAST else np.uint64(0)


@compiled
def find_words(
    points: Points, classes: NDArray[np.uint8], lower: Points
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """The words of a text in order: a hash of each without regard to case, where it begins, and where it ends.

    Returns:
        hashes, begins, ends, each of shape (number of words,).
    """
    size = points.shape[0]
    hashes = np.empty(size, dtype=np.uint64)
    begins = np.empty(size, dtype=np.int64)
    ends = np.empty(size, dtype=np.int64)
    count = 0
    inside = False
    value = np.uint64(0)
    for i in range(size):
        point = points[i]
        kind = character_class(classes, point)
        in_run = kind in (1, 2)
        if inside and not in_run:
            hashes[count] = mix(value)
            ends[count] = i
            count += 1
            inside = False
        if in_run or kind == 4:
            folded = np.uint64(lower[point] if point < lower.shape[0] else point)
            if kind == 4 or not inside:
                begins[count] = i
                value = SEED
            value = (value ^ folded) * PRIME
            if kind == 4:
                hashes[count] = mix(value)
                ends[count] = i + 1
                count += 1
            else:
                inside = True
    if inside:
        hashes[count] = mix(value)
        ends[count] = size
        count += 1
    return hashes[:count], begins[:count], ends[:count]


def words(text: str) -> list[str]:
    """The words of `text`, in its own spelling."""
    classes, lower = character_tables()
    _, begins, ends = find_words(code_points(text), classes, lower)
    return [text[begin:end] for begin, end in zip(begins, ends, strict=True)]
