"""Which documents of a corpus say what another one says, and which of them stays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.corpora.arrow import ascending, strings
from lifecycle.corpora.arrow import numbers as as_column
from lifecycle.curation.banding import Numbers
from lifecycle.curation.index import AGAINST, Index
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.parallel import Executor
from lifecycle.recipe.corpora import Scope

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "kept_id", "kept_source", "rule")] + [("similarity", pa.float64())]
)


@dataclass(frozen=True)
class Duplicate:
    """A dropped document: position of the one kept in its place, the rule, and their estimated Jaccard similarity."""

    kept: int
    rule: str
    similarity: float


def find_duplicates(
    index: Index, scope: Scope, work: Path, workers: int, executor: Executor = "local"
) -> dict[int, Duplicate]:
    """Every document to drop, by position: exact copies, then those that resemble a better document that stays.

    The best is one that is only compared with (`against`), then the longest; of equally long ones that of the source whose
    name sorts first, then of the smallest id. What stays is therefore the same whatever the order of the documents. `kept`
    is always a document that stays, and the two are alike themselves, not through a chain of others. Exact copies are found
    without exception; `near_duplicates` says what is guaranteed for the others.

    Args:
        scope: whether documents of different sources are compared; all are with those of `against`.
        work: the directory of the index.
    """
    dropped: dict[int, Duplicate] = {}
    for number, compared in enumerate(_compared(index, scope)):
        dropped |= _duplicates_among(index, compared, work / f"left-out-{number}.npy", workers, executor)
    return dict(sorted(dropped.items()))


def _compared(index: Index, scope: Scope) -> Iterator[NDArray[np.bool_]]:
    """Whether each document is among those compared with each other, once for every such set."""
    if scope == "across_sources":
        yield np.ones(len(index.lengths), dtype=bool)
        return
    for end, size in zip(np.cumsum(index.sizes).tolist(), index.sizes, strict=True):
        compared = np.zeros(len(index.lengths), dtype=bool)
        compared[end - size : end] = True
        compared[index.own :] = True
        yield compared


def _duplicates_among(
    index: Index, compared: NDArray[np.bool_], flags: Path, workers: int, executor: Executor
) -> dict[int, Duplicate]:
    copies, originals = _exact_copies(index, np.flatnonzero(compared))
    looked_at = compared.copy()
    looked_at[copies] = False
    left_out = None if looked_at.all() else flags
    if left_out:
        np.save(left_out, ~looked_at)
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
    return dropped


def write_duplicates(path: Path, index: Index, dropped: Mapping[int, Duplicate]) -> None:
    """Write a row for each dropped document, in their order, with the one that is kept in its place."""
    fates = [dropped[position] for position in sorted(dropped)]
    gone, kept = np.array(sorted(dropped), np.int64), np.array([fate.kept for fate in fates], np.int64)
    columns = [index.ids.take(gone), index.sources.take(gone), index.ids.take(kept), index.sources.take(kept)]
    columns = [*map(strings, columns), strings(fate.rule for fate in fates)]
    columns.append(as_column(np.array([fate.similarity for fate in fates], np.float64)))
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), path, compression="zstd")


def _duplicate(rule: str, kept: int, alike: float, index: Index) -> Duplicate:
    return Duplicate(kept, rule if kept < index.own else f"{rule}_{AGAINST}", round(alike, 4))


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
