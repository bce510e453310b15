"""Repetition of word n-grams in one document, for n from 2 to 10, without building a single n-gram.

An n-gram can only occur twice where both (n-1)-grams in it do. So each length above 2 looks only at the places that the
length before left over, and names an n-gram by the pair of the names of its halves: exact but for collisions of the 64-bit
hashes of words and of pairs of words, and most places are gone after n = 3. Most words occur twice, so that a look at single
words would save less than it costs; of the places that are left, a table of one byte each leaves out most that occur once.
Of lengths above 4 nothing is asked but what was there before: one walk each over the places whose 4-gram is repeated.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.words import mix

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Small = NDArray[np.int32]
Places = NDArray[np.uint32]
"""Without a sign, as numba looks at every index with one whether it counts from the end."""

NONE = np.uint32(0xFFFFFFFF)
"""The name of an n-gram that occurs once."""
NAMED, LONGEST = 4, 10
"""Occurrences are counted up to the first of these lengths."""
MIN_REPEATS = 4
"""A pair of words that occurs less often is not repetition: short texts name their subject two or three times."""

PAIR = np.uint64(0x9E3779B97F4A7C15)
COVERED, TOP, REPEATED = 0, 1, 4
"""Places in the result of `repetition`: the covering 2-gram; top 2- to 4-grams; repeated 5- to 10-grams."""
RESULTS = 10


@inner
def enter(table: Hashes, mask: int, stamp: int, key: np.uint64, fresh: int) -> int | np.int64:
    """The name of `key` in an open table, which is `fresh` where it was not there.

    Each place is two words side by side, so that a look costs one line of the cache: the key, and the stamp (the upper half)
    with the name. An old stamp is an empty place.
    """
    one, half = np.uint64(1), np.uint64(32)
    inside = np.uint64(mask)
    place = key & inside
    current = np.uint64(stamp)
    while True:
        first = place << one
        entry = table[first | one]
        if entry >> half != current:
            table[first] = key
            table[first | one] = (current << half) | np.uint64(fresh)
            return fresh
        if table[first] == key:
            return np.int64(entry & np.uint64(NONE))
        place = (place + one) & inside


@compiled
def new_table(items: int) -> Hashes:
    """A table for `enter`, of up to `items` keys of one stamp."""
    return np.zeros(2 * (table_mask(items) + 1), np.uint64)


@inner
def table_mask(items: int) -> int:
    """Size less one of a table that `items` entries fill to at most a half."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size - 1


@inner
def repetition(
    hashes: Hashes,
    lengths: Small,
    count: int,
    table: Hashes,
    scratch: Places,
    keys: Hashes,
    seen: NDArray[np.uint8],
    stamp: int,
    result: Integers,
) -> int:
    """Fill `result` for the first `count` words; returns the last stamp that was used.

    Characters of a top n-gram are those of its most frequent one (the first of equals) with a blank between words, times
    its occurrences. Characters of repeated n-grams are counted word by word, going on behind each that was seen before
    (Rae et al. 2021, table A1, as datatrove counts them).

    Args:
        scratch: five rows of at least `count` places.
        keys: at least `count` places.
        seen: `seen_size(count)` places.
    """
    name, live, frequency, first, used = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    result[:] = 0
    alive = max(0, count - 1)
    for n in range(2, min(NAMED, count) + 1):
        stamp += 1
        if n == 2:
            for i in range(alive):
                live[i] = i
                keys[i] = mix(hashes[i] * PAIR + hashes[i + 1] + np.uint64(1))
        else:
            alive = _joined(name, live, alive, count - n, keys)
        kept = _maybe_repeated(name, live, keys, alive, seen)
        total = 0
        mask = table_mask(kept)
        for index in range(kept):
            i = live[index]
            found = enter(table, mask, stamp, keys[index], total)
            if found == total:
                frequency[total] = 0
                first[total] = i
                total += 1
            frequency[found] += 1
            name[i] = found
        alive = _forget_single(name, live, frequency, kept)
        result[TOP + n - 2] = _top(lengths, frequency, first, total, n)
        if n == 2:
            result[COVERED] = _covered(name, live, alive, lengths, frequency, first, used, total)
    mask = table_mask(alive)
    for n in range(NAMED + 1, min(LONGEST, count) + 1):
        stamp += 1
        result[REPEATED + n - NAMED - 1] = _repeated(name, live, alive, lengths, table, mask, stamp, n)
    return stamp


@inner
def seen_size(items: int) -> int:
    """Places of `seen` for so many keys: most of those that occur once then have a place for themselves."""
    return 4 * (table_mask(items) + 1)


@inner
def _joined(name: Places, live: Places, count: int, last: int, keys: Hashes) -> int:
    """Leave the places, up to `last`, at which named n-grams of the length before begin side by side, with their keys."""
    kept = 0
    for index in range(count):
        i = live[index]
        stays = i <= last and name[i + 1] != NONE
        live[kept] = i
        keys[kept] = (np.uint64(name[i]) << np.uint64(32)) | np.uint64(name[i + 1] if stays else 0)
        kept += stays
        used = name[i] if stays else NONE
        name[i] = used
    for index in range(kept):
        keys[index] = mix(keys[index] + np.uint64(1))
    return int(kept)


@inner
def _maybe_repeated(name: Places, live: Places, keys: Hashes, count: int, seen: NDArray[np.uint8]) -> int:
    """Leave the places whose key, by its bits, may occur twice: a small table of bytes answers for most that occur once,
    where entering each of them would miss the cache."""
    size = seen_size(count)
    mask = np.uint64(size - 1)
    seen[:size] = 0
    for index in range(count):
        place = (keys[index] >> np.uint64(32)) & mask
        seen[place] = (seen[place] << 1) | 1
    kept = 0
    for index in range(count):
        i, key = live[index], keys[index]
        stays = seen[(key >> np.uint64(32)) & mask] > 1
        live[kept] = i
        keys[kept] = key
        kept += stays
        name[i] = NONE
    return int(kept)


@inner
def _forget_single(name: Places, live: Places, frequency: Places, count: int) -> int:
    """Leave the places whose n-gram occurs more than once; returns how many these are."""
    kept = 0
    for index in range(count):
        i = live[index]
        stays = frequency[name[i]] > 1
        live[kept] = i
        kept += stays
        name[i] = name[i] if stays else NONE
    return int(kept)


@inner
def _span(lengths: Small, start: int, n: int) -> int:
    total = 0
    for word in range(start, start + n):
        total += lengths[word]
    return total


@inner
def _top(lengths: Small, frequency: Places, first: Places, total: int, n: int) -> int:
    best, often = -1, 1
    for found in range(total):
        if frequency[found] > often:
            best, often = found, frequency[found]
    return (_span(lengths, first[best] if best >= 0 else 0, n) + n - 1) * often


@inner
def _covered(
    name: Places, live: Places, alive: int, lengths: Small, frequency: Places, covered: Places, unused: Places, total: int
) -> int:
    """Characters of the words that one pair covers, each word once, for the pair that covers most of them."""
    covered[:total] = 0
    unused[:total] = 0
    for index in range(alive):
        i = live[index]
        found = name[i]
        covered[found] += (lengths[i] if unused[found] <= i else 0) + lengths[i + 1]
        unused[found] = i + 2
    best = 0
    for found in range(total):
        best = max(best, covered[found] if frequency[found] >= MIN_REPEATS else 0)
    return best


@inner
def _repeated(name: Places, live: Places, alive: int, lengths: Small, table: Hashes, mask: int, stamp: int, n: int) -> int:
    """Characters of the words of n-grams that were there before, going on behind each.

    The 4-grams that an n-gram begins and ends with name it, with the one between them where they leave out words.
    """
    behind = n - NAMED
    characters = 0
    index = 0
    while index < alive - behind:
        i = live[index]
        if live[index + behind] != i + behind:
            index += 1
            continue
        key = mix((np.uint64(name[i]) << np.uint64(32)) | np.uint64(name[i + behind]))
        if behind > NAMED:
            key = mix(key + np.uint64(name[i + NAMED]))
        if enter(table, mask, stamp, key, index) == index:
            index += 1
            continue
        characters += _span(lengths, i, n)
        index += behind + 1
        while index < alive and live[index] < i + n:
            index += 1
    return characters
