"""Whether many hashes are among fewer others: a bit filter answers nearly always, a search the rest."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled, inner

Hashes = NDArray[np.uint64]

FILTER_BITS_PER_HASH = 16
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""An odd factor: anchors are the least of several hashes, so that their leading bits alone are mostly zero."""


class SortedHashes:
    """Different hashes in order, 8 bytes each, with a filter of 2 to 4 more.

    Attributes:
        hashes: the hashes, shape (hashes,).
    """

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        bits = max(7, int(hashes.size * FILTER_BITS_PER_HASH).bit_length())
        self._shift = np.uint64(64 - bits + 6)
        self._filter = np.zeros(2 ** (bits - 6), dtype=np.uint64)
        _fill(self._filter, hashes, self._shift)

    @property
    def parts(self) -> tuple[Hashes, Hashes, np.uint64]:
        """What compiled code looks them up in (`place_of`)."""
        return self.hashes, self._filter, self._shift

    def among(self, others: Hashes, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the others that are among these, and the place of each here; both of shape (found,).

        Args:
            most: so many of them are enough, the first ones; None looks for all.
        """
        return _among(others, *self.parts, others.size if most is None else most)


@inner
def _mask(value: np.uint64) -> np.uint64:
    """The two bits of a hash within its word of the filter: by one alone, four times as many are searched for in vain."""
    low, high = value & np.uint64(63), (value >> np.uint64(6)) & np.uint64(63)
    return (np.uint64(1) << low) | (np.uint64(1) << high)


@inner
def place_of(value: np.uint64, known: Hashes, bits: Hashes, shift: np.uint64) -> int:
    """The place of a hash in what `SortedHashes.parts` gives, or -1."""
    mask = _mask(value)
    if bits[value * SPREAD >> shift] & mask != mask:
        return -1
    entry, left = 0, known.size  # `numpy.searchsorted` takes five times as long for a single value
    while left > 1:
        half = left >> 1
        entry += half if known[entry + half] <= value else 0
        left -= half
    return entry if known[entry] == value else -1


@compiled
def _fill(bits: Hashes, hashes: Hashes, shift: np.uint64) -> None:
    for value in hashes:
        bits[value * SPREAD >> shift] |= _mask(value)


@compiled
def _among(
    hashes: Hashes, known: Hashes, bits: Hashes, shift: np.uint64, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.empty(most, dtype=np.int64)
    entries = np.empty(most, dtype=np.int64)
    count = 0
    for i in range(hashes.size):
        if count == most:
            break
        entry = place_of(hashes[i], known, bits, shift)
        if entry >= 0:
            places[count] = i
            entries[count] = entry
            count += 1
    return places[:count], entries[:count]
