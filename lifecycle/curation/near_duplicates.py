"""Near-duplicates among signed texts: candidate pairs by partition, one union-find over them, and who gives way to whom.

Texts that have a band in common are candidates; candidates are joined when their signatures agree in at least the share
given by `minhash.threshold`, an unbiased estimate of their Jaccard similarity. Within a component each text gives way to the
most preferred text that stays and resembles *it*; a text that only a chain of others connects to those that stay, stays too.

That much is exact, and the same whatever the order of the texts and the number of partitions, up to `COMPARED`. In a bucket
of more texts (a band in common) each is compared with the first `COMPARED` of those that resembled no earlier one, in an
order given by the signatures: copies of one template by the million are joined at one comparison each. In a component of
more texts that stay, each is compared with the most preferred `COMPARED` of these. Beyond that a duplicate may stay; a text
that resembles no other never goes, and whoever goes resembles the one it names, always.

What an earlier search joined among some of the texts need not be compared again: a bucket without a new text has the pairs
that it had.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.banding import Numbers, SignedTexts
from lifecycle.curation.compiled import compiled
from lifecycle.curation.joined import NO_KEYS, Before, Pairs, United, root
from lifecycle.curation.minhash import Signatures, agreeing, least_agreeing
from lifecycle.curation.sorted_hashes import Hashes, SortedHashes
from lifecycle.parallel import Executor, ordered_map

COMPARED = 1_000
BLOCK = 100_000
"""Signatures that a worker holds at once, about."""


@dataclass(frozen=True)
class NearDuplicates:
    """Texts that go, in no order, the text that each gives way to, and their estimated similarity; all of shape (texts,).

    Attributes:
        joined: what a later search can have as `Before`; None where that is too much to keep.
    """

    texts: Numbers
    kept: Numbers
    similarity: NDArray[np.float64]
    joined: Pairs | None


@dataclass(frozen=True)
class _Components:
    """Whole components one after another, each in order of preference; component i ends before `ends[i]`."""

    numbers: Numbers
    ends: Numbers


def near_duplicates(
    texts: SignedTexts,
    prefer: Callable[[Numbers], Numbers],
    pinned_from: int,
    left_out: Path | None,
    workers: int,
    executor: Executor = "local",
    before: Before | None = None,
) -> NearDuplicates:
    """Who gives way to whom among all texts.

    Args:
        prefer: sorts some texts, the most preferred first; it is asked about texts that have a near-duplicate only.
        pinned_from: texts from this number on stay whatever they resemble; `prefer` must put them first.
        left_out: a file of one bool for each text, as `numpy.save` writes it: those that are not looked at.
        before: what an earlier search among fewer texts joined; the result is the same without.
    """
    united = _united(texts, left_out, before, workers, executor)
    if united is None:
        united = _united(texts, left_out, None, workers, executor) or United(len(texts))
    members = prefer(np.flatnonzero(united.touched))
    roots = united.roots_of(members)
    order = np.argsort(roots, kind="stable")
    batches = _batches(members[order], roots[order])
    found = list(ordered_map(partial(_settle_components, texts, pinned_from), batches, workers, executor))
    nothing = np.empty(0, np.int64)
    gone, kept, places = (np.concatenate([nothing, *each]) for each in (zip(*found, strict=True) if found else [(), (), ()]))
    return NearDuplicates(gone, kept, places / texts.places, united.pairs())


def _united(
    texts: SignedTexts, left_out: Path | None, before: Before | None, workers: int, executor: Executor
) -> United | None:
    """All that verified candidate pairs join; None where `before` is of no use."""
    united, renewed = United(len(texts)), [NO_KEYS]
    search = partial(_edges, texts, left_out, before.known if before else None)
    for part in ordered_map(search, range(texts.partitions), workers, executor):
        if part is None:
            return None
        united.add(part[0])
        renewed.append(part[1])
    if before:
        united.add(before.pairs.without(np.concatenate(renewed)))
    return united


def _edges(texts: SignedTexts, left_out: Path | None, known: Path | None, partition: int) -> tuple[Pairs, Hashes] | None:
    """Pairs of one partition that join all texts which its verified candidate pairs join.

    With texts that are `known`, of those buckets alone that hold others, too; these buckets come second. None where one of
    them has outgrown `COMPARED`: what its texts were joined by no longer counts, and another bucket relied on it.
    """
    keys, numbers = texts.keys_of(partition)
    if left_out is not None:
        looked_at = ~np.load(left_out, mmap_mode="r")[numbers]
        keys, numbers = keys[looked_at], numbers[looked_at]
    renewed = NO_KEYS
    if known is not None:
        old = np.load(known, mmap_mode="r")[numbers]
        renewed = np.unique(keys[~old])
        places, buckets = SortedHashes(renewed).among(keys)
        sizes, of_old = np.bincount(buckets), np.bincount(buckets, weights=old[places])
        if ((sizes > COMPARED) & (of_old > 1) & (of_old <= COMPARED)).any():
            return None
        keys, numbers = keys[places], numbers[places]
    return _bucketed(texts, keys, numbers), renewed


def _bucketed(texts: SignedTexts, keys: Hashes, numbers: Numbers) -> Pairs:
    """The pairs of texts that have some keys."""
    order = np.argsort(keys)
    keys, numbers = keys[order], numbers[order]
    ends = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, keys.size)
    sizes = np.diff(ends, prepend=0)
    found = []
    shared = (sizes > 1) & (sizes <= COMPARED)
    bucketed, key_of, done = numbers[np.repeat(shared, sizes)], keys[ends[shared] - 1], 0
    for begin, bucket_ends in _blocks(np.cumsum(sizes[shared])):
        pairs, buckets = _joined(texts, bucketed[begin : bucket_ends[-1]], bucket_ends - begin)
        found.append(Pairs(pairs, key_of[done + buckets]))
        done += bucket_ends.size
    for bucket in np.flatnonzero(sizes > COMPARED):
        pairs = _led(texts, numbers[ends[bucket] - sizes[bucket] : ends[bucket]])
        found.append(Pairs(pairs, np.repeat(keys[ends[bucket] - 1], len(pairs))))
    return Pairs.of(found)


def _blocks(ends: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Runs that end at `ends` in blocks of about `BLOCK`: where the first begins, and where each ends."""
    done = begin = 0
    while done < ends.size:
        until = max(done + 1, int(np.searchsorted(ends, begin + BLOCK, side="right")))
        yield begin, ends[done:until]
        done, begin = until, int(ends[until - 1])


def _joined(texts: SignedTexts, members: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """Compare all pairs of each bucket but those already joined; those found alike, and the number of the bucket of each."""
    unique, places = np.unique(members, return_inverse=True)
    pairs, buckets = _join(places, ends, texts.signatures_of(unique), least_agreeing(texts.config))
    return unique[pairs], buckets


def _led(texts: SignedTexts, members: Numbers) -> NDArray[np.int64]:
    """Compare each text of a large bucket with its leaders, the texts that resembled none of the leaders before them.

    Texts of equal signatures are alike to all others, so that their order among themselves does not matter.
    """
    hashes = [_hashes(texts.signatures_of(members[at : at + BLOCK])) for at in range(0, members.size, BLOCK)]
    members = members[np.argsort(np.concatenate(hashes))]
    gone, leaders, _ = _follow(texts, members, np.zeros(members.size, dtype=bool))
    return np.stack([gone, leaders], axis=1)


def _batches(members: Numbers, roots: Numbers) -> Iterator[_Components]:
    if members.size:
        component_ends = np.append(np.flatnonzero(np.diff(roots)) + 1, members.size)
        for begin, ends in _blocks(component_ends):
            yield _Components(members[begin : ends[-1]], ends - begin)


def _settle_components(texts: SignedTexts, pinned_from: int, batch: _Components) -> tuple[Numbers, Numbers, Numbers]:
    """Texts that go, those they give way to, and in how many places the two agree."""
    pinned = batch.numbers >= pinned_from
    if batch.ends.size == 1:
        return _follow(texts, batch.numbers, pinned)
    return _settled(texts, batch.numbers, batch.ends, pinned)


def _follow(texts: SignedTexts, numbers: Numbers, pinned: NDArray[np.bool_]) -> tuple[Numbers, Numbers, Numbers]:
    """The same for one component or bucket of any size: of those done only the texts to be compared with are remembered."""
    leaders = np.empty(0, np.int64)
    found = []
    for at in range(0, numbers.size, BLOCK):
        some = np.concatenate([leaders, numbers[at : at + BLOCK]])
        stays = np.concatenate([np.ones(leaders.size, dtype=bool), pinned[at : at + BLOCK]])
        found.append(_settled(texts, some, np.array([some.size]), stays))
        leaders = some[~np.isin(some, found[-1][0])][:COMPARED]
    gone, kept, places = (np.concatenate(each) for each in zip(*found, strict=True))
    return gone, kept, places


def _settled(
    texts: SignedTexts, numbers: Numbers, ends: Numbers, pinned: NDArray[np.bool_]
) -> tuple[Numbers, Numbers, Numbers]:
    keeper, places = _settle(texts.signatures_of(numbers), ends, pinned, least_agreeing(texts.config), COMPARED)
    gone = np.flatnonzero(keeper != np.arange(numbers.size))
    return numbers[gone], numbers[keeper[gone]], places[gone]


@compiled
def _settle(
    signature: Signatures, ends: Numbers, pinned: NDArray[np.bool_], least: int, compared: int
) -> tuple[Numbers, Numbers]:
    keeper = np.arange(signature.shape[0])
    places = np.zeros(signature.shape[0], dtype=np.int64)
    stays = np.empty(compared, dtype=np.int64)
    text = 0
    for end in ends:
        staying = 0
        while text < end:
            if not pinned[text]:
                for j in range(staying):
                    places[text] = agreeing(signature[text], signature[stays[j]])
                    if places[text] >= least:
                        keeper[text] = stays[j]
                        break
            if keeper[text] == text and staying < compared:
                stays[staying] = text
                staying += 1
            text += 1
    return keeper, places


@compiled
def _join(places: Numbers, ends: Numbers, signature: Signatures, least: int) -> tuple[Numbers, Numbers]:
    parents = np.arange(signature.shape[0])
    pairs, buckets = np.empty((parents.size, 2), dtype=np.int64), np.empty(parents.size, dtype=np.int64)
    begin = found = 0
    for bucket in range(ends.size):
        end = ends[bucket]
        for i in range(begin + 1, end):
            one = places[i]
            for j in range(begin, i):
                mine, other = root(parents, one), root(parents, places[j])
                if mine != other and agreeing(signature[one], signature[places[j]]) >= least:
                    parents[max(mine, other)] = min(mine, other)
                    pairs[found, 0], pairs[found, 1], buckets[found] = one, places[j], bucket
                    found += 1
        begin = end
    return pairs[:found].copy(), buckets[:found].copy()


@compiled
def _hashes(signature: Signatures) -> NDArray[np.uint64]:
    result = np.empty(signature.shape[0], dtype=np.uint64)
    for text in range(result.size):
        value = np.uint64(0xCBF29CE484222325)
        for slot in range(signature.shape[1]):
            value = (value ^ np.uint64(signature[text, slot])) * np.uint64(0x100000001B3)
        result[text] = value
    return result
