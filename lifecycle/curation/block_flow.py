"""What the characters of a block are together with those before them: bits are moved on by adding, whose carry goes through
all bits between; what it does not reach in this block it carries into the next one."""

import numpy as np

from lifecycle.curation.block_classes import TOP, Classes
from lifecycle.curation.byte_masks import ALL, BLOCK, ONE
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import bits_set, lowest_bit


@inner
def reached(starts: np.uint64, through: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The first place from each start on that is not in `through`, and 1 where one is not in this block, else 0.

    A start may not have a place of `through` before it.
    """
    total = (starts & through) + through
    return (total | starts) & ~through, np.uint64(total < through)


@inner
def behind(bits: np.uint64, through: np.uint64, carry: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The first place behind each bit that is not in `through`; `carry` is what this returned second of the block before."""
    found, beyond = reached(bits << ONE | carry, through)
    return found, beyond | bits >> TOP


@inner
def sentence_ends(classes: Classes, pending: np.uint64, material: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Where a sentence or a line with a sentence ends, and what to pass on the next time for the other two.

    A sentence has a letter or digit. It ends with 。 and the like, with white space behind a full stop and the like, between
    which may be closing quotation marks and brackets, and with its line.
    """
    covered = ~classes.leads
    ended, pending = behind(classes.ends, classes.closers | covered, pending)
    stops = classes.wide_ends | classes.breaks | ended & classes.spaces
    words = (classes.run | classes.han | classes.ideographs) & classes.leads
    found, material = behind(words, ~(words | stops), material)
    return found & stops, pending, material


@inner
def script_changes(classes: Classes, latin: np.uint64, han: np.uint64) -> tuple[int, np.uint64, np.uint64]:
    """How often a Han character comes behind a letter of other scripts, or such a letter behind it; and what to pass on."""
    letters, characters = classes.alphabetic & classes.run, classes.han | classes.rare_han
    between = ~(letters | characters)
    first, latin = behind(letters, between, latin)
    second, han = behind(characters, between, han)
    return bits_set(first & characters | second & letters), latin, han


@inner
def ellipses_of(dots: np.uint64, before: int) -> tuple[int, int]:
    """Groups of three dots, and how many dots are left at the end of the block; `before` is that of the last one."""
    if not dots & (dots << ONE | np.uint64(before > 0)):
        return 0, int(dots >> TOP)
    found = rest = 0
    while dots:
        place = lowest_bit(dots)
        size = lowest_bit(~(dots >> np.uint64(place)))
        together = size + before if place == 0 else size
        found += together // 3
        rest = together % 3 if place + size == BLOCK else 0
        dots &= ~(ALL >> np.uint64(BLOCK - size) << np.uint64(place))
    return found, rest
