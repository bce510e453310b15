"""Hashed character n-grams: what the quality model sees of a text."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled
from lifecycle.curation.words import DIGIT, SPACE, character_class, character_tables, code_points, mix
from lifecycle.recipe.base import Section

Buckets = NDArray[np.uint32]
NEWLINE, BLANK, ZERO = 10, 32, 48


class Features(Section):
    """How texts become buckets; kept in the model, because weights mean nothing without it."""

    min_ngram: int
    max_ngram: int
    bucket_bits: int
    max_characters: int

    def buckets(self, text: str) -> Buckets:
        """The bucket of every n-gram of the text's beginning, shape (n-grams,); empty where it is shorter than one."""
        classes, lower = character_tables()
        points = code_points(text[: self.max_characters])
        return _buckets(points, classes, lower, self.min_ngram, self.max_ngram, self.bucket_bits)


@compiled
def _buckets(
    points: NDArray[np.uint32], classes: NDArray[np.uint8], lower: NDArray[np.uint32], shortest: int, longest: int, bits: int
) -> Buckets:
    """Case is folded, digits are one, and so is white space of any length, but a line's end stays one."""
    folded = np.empty(points.size, np.uint64)
    size = 0
    for point in points:
        kind = character_class(classes, point)
        if kind == SPACE:
            value = NEWLINE if point == NEWLINE else BLANK
            if size and (folded[size - 1] == NEWLINE or folded[size - 1] == BLANK):
                if value == NEWLINE:
                    folded[size - 1] = NEWLINE
                continue
        elif kind == DIGIT:
            value = ZERO
        else:
            value = lower[point] if point < lower.size else point
        folded[size] = value
        size += 1
    total = 0
    for n in range(shortest, longest + 1):
        total += max(0, size - n + 1)
    found = np.empty(total, np.uint32)
    place = 0
    shift = np.uint64(64 - bits)
    for i in range(size):
        value = np.uint64(0xCBF29CE484222325)
        for n in range(1, min(longest, size - i) + 1):
            value = mix(value ^ folded[i + n - 1]) + np.uint64(n)
            if n >= shortest:
                found[place] = np.uint32(mix(value) >> shift)
                place += 1
    return found
