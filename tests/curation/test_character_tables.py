"""The tables that kernels look characters up in are what Python's Unicode says, character by character."""

import unicodedata

import numpy as np

from lifecycle.curation.marks import ALPHABETIC, mark_tables
from lifecycle.curation.screen import FORM, screen_table
from lifecycle.curation.words import DIGIT, IDEOGRAPH, LETTER, SPACE, SYMBOL, TABLED, character_tables

CHARACTERS = [chr(point) for point in range(TABLED)]
CATEGORIES = [unicodedata.category(character)[0] for character in CHARACTERS]
LAID_DOWN = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
"""White space without being a Z of Unicode's categories."""


def test_classes_and_lower_case_are_those_of_python() -> None:
    """Whole blocks are not looked up, as nothing but letters has a place in them: a new Unicode may say otherwise."""
    classes, lower = character_tables()
    kinds = {"L": (LETTER, IDEOGRAPH), "M": (LETTER, IDEOGRAPH), "N": (DIGIT, IDEOGRAPH), "Z": (SPACE,)}
    for character, category, found in zip(CHARACTERS, CATEGORIES, classes.tolist(), strict=True):
        assert found in ((SPACE,) if character in LAID_DOWN else kinds.get(category, (SYMBOL,))), hex(ord(character))
    expected = [character.lower() for character in CHARACTERS]
    assert lower.tolist() == [ord(low if len(low) == 1 else own) for low, own in zip(expected, CHARACTERS, strict=True)]
    alphabetic = mark_tables()[0] & ALPHABETIC != 0
    assert alphabetic.tolist() == [character.isalpha() for character in CHARACTERS]


def test_what_nfc_may_change_is_marked() -> None:
    """A text without a mark goes on as it is: whatever composes, decomposes or combines must have one."""
    marked = screen_table() & FORM != 0
    parts: set[str] = set()
    for point, character in enumerate(CHARACTERS):
        whole = unicodedata.normalize("NFD", character)
        if unicodedata.normalize("NFC", character) != character or unicodedata.combining(character):
            assert marked[point], hex(point)
        elif whole != character:
            parts.update(whole[1:])
    assert parts
    assert all(marked[[ord(part) for part in parts]])
    assert not marked[np.arange(0x300)].any()
