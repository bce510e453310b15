"""Which documents of a corpus say what another one says, and which of them stays."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.curation.banding import Numbers
from lifecycle.curation.index import AGAINST, Index
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.parallel import Executor

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "kept_id", "kept_source", "rule")] + [("similarity", pa.float64())]
)


@dataclass(frozen=True)
class Duplicate:
    """A dropped document: position of the one kept in its place, the rule, and their estimated Jaccard similarity."""

    kept: int
    rule: str
    similarity: float


def find_duplicates(index: Index, work: Path, workers: int, executor: Executor = "local") -> dict[int, Duplicate]:
    """Every document to drop, by position: exact copies, then those that resemble a better document that stays.

    The best is one that is only compared with (`against`), then the longest; of equally long ones that of the source whose
    name sorts first, then of the smallest id. What stays is therefore the same whatever the order of the documents. `kept`
    is always a document that stays, and the two are alike themselves, not through a chain of others. Exact copies are found
    without exception; `near_duplicates` says what is guaranteed for the others.

    Args:
        work: the directory of the index.
    """
    copies, originals = _exact_copies(index)
    left_out = work / "copies.npy" if copies.size else None
    if left_out:
        flags = np.zeros(len(index.lengths), dtype=bool)
        flags[copies] = True
        np.save(left_out, flags)
    near = near_duplicates(
        index.texts, lambda numbers: by_preference(index, numbers), index.own, left_out, workers, executor
    )
    gone = dict(zip(near.texts.tolist(), zip(near.kept.tolist(), near.similarity.tolist(), strict=True), strict=True))
    dropped: dict[int, Duplicate] = {}
    for position, (kept, alike) in gone.items():
        dropped[position] = _duplicate("near_duplicate", kept, alike, index)
    for position, original in zip(copies.tolist(), originals.tolist(), strict=True):
        if position < index.own:
            dropped[position] = _duplicate("exact_duplicate", *gone.get(original, (original, 1.0)), index)
    return dict(sorted(dropped.items()))


def write_duplicates(path: Path, index: Index, dropped: Mapping[int, Duplicate]) -> None:
    """Write a row for each dropped document, in their order, with the one that is kept in its place."""
    rows = [
        {
            "id": index.ids[position],
            "source": index.sources[position],
            "kept_id": index.ids[duplicate.kept],
            "kept_source": index.sources[duplicate.kept],
            "rule": duplicate.rule,
            "similarity": duplicate.similarity,
        }
        for position, duplicate in sorted(dropped.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")


def _duplicate(rule: str, kept: int, alike: float, index: Index) -> Duplicate:
    return Duplicate(kept, rule if kept < index.own else f"{rule}_{AGAINST}", round(alike, 4))


def by_preference(index: Index, numbers: Numbers) -> Numbers:
    """Some documents, the best first."""
    keys = zip(
        (numbers < index.own).tolist(),
        (-index.lengths[numbers]).tolist(),
        index.sources.take(numbers),
        index.ids.take(numbers),
        numbers.tolist(),
        strict=True,
    )
    return np.array([key[-1] for key in sorted(keys)], dtype=np.int64)


def _exact_copies(index: Index) -> tuple[Numbers, Numbers]:
    """Documents whose text an earlier one in the order of preference has, and that one, each of shape (copies,)."""
    order = np.lexsort((index.digests[:, 1], index.digests[:, 0]))
    same = (index.digests[order[1:]] == index.digests[order[:-1]]).all(axis=1)
    text_of = np.empty(order.size, dtype=np.int64)
    text_of[order] = np.concatenate([[0], np.cumsum(~same)])[: order.size]
    shared = np.zeros(order.size, dtype=bool)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    members = by_preference(index, np.flatnonzero(shared))
    _, best, belongs = np.unique(text_of[members], return_index=True, return_inverse=True)
    originals = members[best][belongs]
    return members[members != originals], originals[members != originals]
