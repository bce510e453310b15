"""Repetition of word n-grams in one document, for n from 2 to 10, without building a single n-gram.

An n-gram can only occur twice where both (n-1)-grams in it do. So each length above 2 looks only at the places that the
length before left over, and names an n-gram by the pair of the names of its halves: exact but for collisions of the 64-bit
hashes of words and of pairs of words, and most places are gone after n = 3. Most words occur twice, so that a look at single
words would save less than it costs; of pairs of words, a table of one byte each leaves out most that occur once.
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
            return np.int64(entry & np.uint64(0xFFFFFFFF))
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
    name, live, frequency, covered, unused = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    result[:] = 0
    kept = _maybe_repeated(hashes, count, live, keys, seen)
    for n in range(2, min(NAMED, count) + 1):
        stamp += 1
        if n > 2:
            kept = _joined(name, live, kept, frequency, keys)
        total = _name(keys, kept, table, stamp, name, frequency)
        result[TOP + n - 2] = _top(lengths, name, live, kept, frequency, total, n)
        if n == 2:
            result[COVERED] = _covered(name, live, kept, lengths, frequency, covered, unused, total)
    alive = _forget_single(name, live, frequency, kept)
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
def _maybe_repeated(hashes: Hashes, count: int, live: Places, keys: Hashes, seen: NDArray[np.uint8]) -> int:
    """Write the places of pairs of words, with their keys, that may occur twice by the bits of their keys; returns how many.

    A small table of bytes answers for most that occur once, where entering each of them would miss the cache.
    """
    pairs = max(0, count - 1)
    size = seen_size(pairs)
    mask = np.uint64(size - 1)
    seen[:size] = 0
    for i in range(pairs):
        keys[i] = mix(hashes[i] * PAIR + hashes[i + 1] + np.uint64(1))
    for i in range(pairs):
        place = (keys[i] >> np.uint64(32)) & mask
        seen[place] = (seen[place] << 1) | 1
    kept = 0
    for i in range(pairs):
        key = keys[i]
        live[kept] = i
        keys[kept] = key
        kept += seen[(key >> np.uint64(32)) & mask] > 1
    return int(kept)


@inner
def _joined(name: Places, live: Places, count: int, frequency: Places, keys: Hashes) -> int:
    """Leave the places at which n-grams of the length before begin side by side that both are repeated, with their keys."""
    kept = 0
    i, left = np.uint32(0), np.uint32(0)
    stayed = False
    for index in range(count):
        behind, right = live[index], name[index]
        stays = frequency[right] > 1
        live[kept] = i
        keys[kept] = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
        kept += stayed & stays & (behind == i + np.uint32(1))
        i, left, stayed = behind, right, stays
    for index in range(kept):
        keys[index] = mix(keys[index] + np.uint64(1))
    return int(kept)


@inner
def _name(keys: Hashes, count: int, table: Hashes, stamp: int, name: Places, frequency: Places) -> int:
    """Name the n-grams at the places that are left, in the order in which they come; returns how many names there are.

    As `enter`, but whether an n-gram was there before, which no processor can guess, is a mask that decides what is written:
    of a condition LLVM would make a jump again.
    """
    one, half, low = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)
    inside, current = np.uint64(table_mask(count)), np.uint64(stamp)
    total = np.uint64(0)
    for index in range(count):
        key = keys[index]
        place = key & inside
        while True:
            at = place << one
            entry = table[at | one]
            there = np.uint64(
                np.int64((entry >> half ^ current) - one) >> np.int64(63)
            )  # all bits where the stamp is this one
            if (table[at] ^ key) & there == 0:
                break
            place = (place + one) & inside
        found = entry & low & there | total & ~there
        table[at] = key
        table[at | one] = current << half | found
        frequency[found] = np.uint32(np.uint64(frequency[found]) & there) + np.uint32(1)
        name[index] = np.uint32(found)
        total += ~there & one
    return int(total)


@inner
def _forget_single(name: Places, live: Places, frequency: Places, count: int) -> int:
    """Leave the places whose n-gram occurs more than once; returns how many these are."""
    kept = 0
    for index in range(count):
        i, found = live[index], name[index]
        live[kept] = i
        name[kept] = found
        kept += frequency[found] > 1
    return int(kept)


@inner
def _span(lengths: Small, start: np.uint64, n: int) -> int:
    total = 0
    for word in range(n):
        total += lengths[start + np.uint64(word)]
    return total


@inner
def _top(lengths: Small, name: Places, live: Places, count: int, frequency: Places, total: int, n: int) -> int:
    best, often = 0, 1
    for found in range(total):
        if frequency[found] > often:
            best, often = found, frequency[found]
    start = np.uint64(0)
    for index in range(count if often > 1 else 0):
        if name[index] == best:
            start = np.uint64(live[index])
            break
    return (_span(lengths, start, n) + n - 1) * often


@inner
def _covered(
    name: Places, live: Places, count: int, lengths: Small, frequency: Places, covered: Places, unused: Places, total: int
) -> int:
    """Characters of the words that one pair covers, each word once, for the pair that covers most of them."""
    covered[:total] = 0
    unused[:total] = 0
    for index in range(count):
        i, found = live[index], name[index]
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
    behind, size, one = np.uint64(n - NAMED), np.uint64(n), np.uint64(1)
    characters = 0
    index, last = np.uint64(0), np.uint64(max(alive, n - NAMED)) - behind
    while index < last:
        i = np.uint64(live[index])
        if np.uint64(live[index + behind]) != i + behind:
            index += one
            continue
        key = mix(np.uint64(name[index]) << np.uint64(32) | np.uint64(name[index + behind]))
        if n > 2 * NAMED:
            key = mix(key + np.uint64(name[index + np.uint64(NAMED)]))
        if enter(table, mask, stamp, key, np.int64(index)) == np.int64(index):
            index += one
            continue
        characters += _span(lengths, i, n)
        index += behind + one
        while index < np.uint64(alive) and np.uint64(live[index]) < i + size:
            index += one
    return characters
