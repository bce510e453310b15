"""Whether many hashes are among fewer others: a bit filter answers nearly always, a search the rest."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled

Hashes = NDArray[np.uint64]

FILTER_BITS_PER_HASH = 16


class SortedHashes:
    """Different hashes in order, 8 bytes each, with a filter of 2 to 4 more.

    Attributes:
        hashes: the hashes, shape (hashes,).
    """

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        bits = max(6, int(hashes.size * FILTER_BITS_PER_HASH).bit_length())
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(2 ** (bits - 6), dtype=np.uint64)
        _fill(self._filter, hashes, self._shift)

    def among(self, others: Hashes, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the others that are among these, and the place of each here; both of shape (found,).

        Args:
            most: so many of them are enough, the first ones; None looks for all.
        """
        return _among(others, self.hashes, self._filter, self._shift, others.size if most is None else most)


@compiled
def _fill(bits: Hashes, hashes: Hashes, shift: np.uint64) -> None:
    for value in hashes:
        place = value >> shift
        bits[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


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
        place = hashes[i] >> shift
        if not (bits[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1):
            continue
        entry = np.searchsorted(known, hashes[i])
        if entry < known.size and known[entry] == hashes[i]:
            places[count] = i
            entries[count] = entry
            count += 1
    return places[:count], entries[:count]
