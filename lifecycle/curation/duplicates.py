"""Which documents of a corpus say what another one says, and which of them stays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.corpora.arrow import ascending, cast, strings, taken
from lifecycle.corpora.arrow import numbers as as_column
from lifecycle.curation import known_pairs, signature_cache
from lifecycle.curation.banding import Numbers
from lifecycle.curation.index import AGAINST, Index
from lifecycle.curation.known_pairs import read_pairs, write_pairs
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.curation.sealed import entry_of
from lifecycle.digests import digest_json
from lifecycle.parallel import Executor
from lifecycle.recipe.base import identity
from lifecycle.recipe.corpora import Scope

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "kept_id", "kept_source", "rule")] + [("similarity", pa.float64())]
)


RULES = ("exact_duplicate", f"exact_duplicate_{AGAINST}", "near_duplicate", f"near_duplicate_{AGAINST}")
EXACT, NEAR = 0, 2
"""Place of each rule; that of documents only compared with is the next one."""


@dataclass(frozen=True)
class Duplicates:
    """Dropped documents by position, in order, and of each the one kept in its place, the place of the rule in `RULES`, and
    the estimated Jaccard similarity of the two; all of shape (dropped,)."""

    documents: Numbers
    kept: Numbers
    rules: NDArray[np.uint8]
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return self.documents.size


def find_duplicates(
    index: Index, scope: Scope, cache: Path, work: Path, workers: int, executor: Executor = "local"
) -> Duplicates:
    """Every document to drop: exact copies, then those that resemble a better document that stays.

    The best is one that is only compared with (`against`), then the longest; of equally long ones that of the source whose
    name sorts first, then of the smallest id. What stays is therefore the same whatever the order of the documents. `kept`
    is always a document that stays, and the two are alike themselves, not through a chain of others. Exact copies are found
    without exception; `near_duplicates` says what is guaranteed for the others.

    Args:
        scope: whether documents of different sources are compared; all are with those of `against`.
        cache: a directory of entries: what the last search among these sources joined.
        work: the directory of the index.
    """
    found = [
        _duplicates_among(index, compared, _entry(index, names, cache), work / str(number), workers, executor)
        for number, (names, compared) in enumerate(_compared(index, scope))
    ]
    documents = np.concatenate([each.documents for each in found])
    order = np.argsort(documents)
    return Duplicates(
        documents[order],
        np.concatenate([each.kept for each in found])[order],
        np.concatenate([each.rules for each in found])[order],
        np.concatenate([each.similarity for each in found])[order],
    )


def _entry(index: Index, names: Sequence[str], cache: Path) -> Path:
    config = digest_json([identity(index.texts.config), names])
    return entry_of(cache, f"near duplicates {known_pairs.VERSION} {signature_cache.VERSION} {config}")


def _compared(index: Index, scope: Scope) -> Iterator[tuple[list[str], NDArray[np.bool_]]]:
    """Sources that are compared with each other, and whether each document is among them, once for every such set."""
    if scope == "across_sources":
        yield [*index.sizes], np.ones(len(index.lengths), dtype=bool)
        return
    end = 0
    for name, size in index.sizes.items():
        end += size
        compared = np.zeros(len(index.lengths), dtype=bool)
        compared[end - size : end] = True
        compared[index.own :] = True
        yield [name], compared


def _duplicates_among(
    index: Index, compared: NDArray[np.bool_], entry: Path, flags: Path, workers: int, executor: Executor
) -> Duplicates:
    """Those of one set, in no order."""
    copies, originals = _exact_copies(index, np.flatnonzero(compared))
    looked_at = compared.copy()
    looked_at[copies] = False
    left_out = None if looked_at.all() else flags.with_suffix(".left-out.npy")
    if left_out:
        np.save(left_out, ~looked_at)
    before = read_pairs(entry, index.digests, looked_at, flags.with_suffix(".known.npy"))
    prefer = partial(by_preference, index)
    near = near_duplicates(index.texts, prefer, index.own, left_out, workers, executor, before)
    if near.joined:
        write_pairs(entry, index.digests, looked_at, near.joined)
    stays, alike = np.arange(len(index.lengths)), np.ones(len(index.lengths))
    stays[near.texts], alike[near.texts] = near.kept, _rounded(near.similarity)
    own = copies < index.own
    copies, originals = copies[own], originals[own]
    kept = np.concatenate([near.kept, stays[originals]])
    rules = np.repeat(np.array([NEAR, EXACT], np.uint8), [near.texts.size, copies.size])
    rules += (kept >= index.own).astype(np.uint8)
    return Duplicates(
        np.concatenate([near.texts, copies]), kept, rules, np.concatenate([alike[near.texts], alike[originals]])
    )


def _rounded(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """To four digits, as Python rounds; numpy's are the last bit off at times. There are few different values."""
    values, places = np.unique(similarity, return_inverse=True)
    return np.array([round(value, 4) for value in values.tolist()])[places]


def write_duplicates(path: Path, index: Index, dropped: Duplicates) -> None:
    """Write a row for each dropped document, in their order, with the one that is kept in its place."""
    columns: list[Any] = [
        cast(names.column(numbers), pa.string())
        for numbers in (dropped.documents, dropped.kept)
        for names in (index.ids, index.sources)
    ]
    columns.append(taken(strings(RULES), dropped.rules.astype(np.int64)))
    columns.append(as_column(dropped.similarity))
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), path, compression="zstd")


def by_preference(index: Index, numbers: Numbers) -> Numbers:
    """Some documents, the best first."""
    keys = {
        "own": as_column((numbers < index.own).astype(np.uint8)),
        "shortness": as_column(-index.lengths[numbers]),
        "source": index.sources.column(numbers),
        "id": index.ids.column(numbers),
        "number": as_column(numbers),
    }
    return numbers[ascending(pa.table(keys))]


def _exact_copies(index: Index, compared: Numbers) -> tuple[Numbers, Numbers]:
    """Documents among some whose text one that is preferred has, and that one, each of shape (copies,)."""
    order = compared[np.lexsort((index.digests[compared, 1], index.digests[compared, 0]))]
    same = (index.digests[order[1:]] == index.digests[order[:-1]]).all(axis=1)
    text_of = np.empty(len(index.lengths), dtype=np.int64)
    text_of[order] = np.concatenate([[0], np.cumsum(~same)])[: order.size]
    shared = np.zeros(len(index.lengths), dtype=bool)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    members = by_preference(index, np.flatnonzero(shared))
    _, best, belongs = np.unique(text_of[members], return_index=True, return_inverse=True)
    originals = members[best][belongs]
    return members[members != originals], originals[members != originals]
