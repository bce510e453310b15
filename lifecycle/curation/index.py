"""What deduplication knows of every document without its text: made once for each row group, held in columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.corpora.arrow import cast, strings, taken
from lifecycle.corpora.arrow import numbers as as_column
from lifecycle.corpora.documents import check_rows, open_shard, shards
from lifecycle.corpora.row_groups import RowGroup, row_groups
from lifecycle.curation.banding import Part, SignedTexts, partitions_for, write_part
from lifecycle.curation.put_aside import aside_in
from lifecycle.curation.signature_cache import DIGEST_BYTES, fingerprints_of
from lifecycle.curation.split import are_heldout
from lifecycle.parallel import Executor, chunks, ordered_map
from lifecycle.recipe.corpora import HeldoutConfig, MinHashConfig, OverlapConfig

AGAINST = "against"
"""Stands for the source of documents that are only compared with."""
TASKS_PER_WORKER = 8
MAX_GROUPS_PER_TASK = 64
NAMES = pa.schema([("id", pa.large_string()), ("group", pa.large_string())])


class Names(Sequence[str]):
    """A string for each document in an Arrow column: a list of Python strings would take three times as much."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        return Names(self._column[index]) if isinstance(index, slice) else self._column[index].as_py()

    def __iter__(self) -> Iterator[str]:
        for chunk in self._column.chunks:
            yield from chunk.to_pylist()

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """The strings of some documents."""
        return self.column(numbers).to_pylist()

    def column(self, numbers: NDArray[np.int64]) -> pa.ChunkedArray:
        """The same as a column."""
        return cast(taken(self._column, numbers), pa.large_string())


@dataclass(frozen=True)
class Index:
    """The documents in reading order; those only compared with come last."""

    ids: Names
    sources: Names
    lengths: NDArray[np.int64]
    digests: NDArray[np.uint64]
    """Of the text, shape (documents, 2)."""
    texts: SignedTexts
    cached: int
    """Documents whose signatures were not computed anew."""
    sizes: dict[str, int]
    """How many documents each source of the corpus has, in order."""
    own: int
    """Documents of the corpus itself."""
    held: NDArray[np.bool_]
    """Of each of these whether it is held out."""
    row_groups: dict[str, list[RowGroup]]
    """Those of each source of the corpus, in which its documents lie, in order."""


@dataclass(frozen=True)
class _Unsigned:
    """A row group, the anchors that are made of it, and a truth value for each of its documents: whether it is held out."""

    group: RowGroup
    overlap: OverlapConfig | None
    held: NDArray[np.bool_]


@dataclass(frozen=True)
class _Task:
    """Row groups that become one part."""

    groups: tuple[_Unsigned, ...]
    part: Part


def index_documents(
    cleaned: Mapping[str, Path],
    against: Sequence[Path],
    heldout: HeldoutConfig,
    config: MinHashConfig,
    overlap: OverlapConfig | None,
    cache: Path,
    work: Path,
    workers: int,
    executor: Executor = "local",
) -> Index:
    """Digests and signatures of all documents, sources in the order of `cleaned`, in one pass; in it held-out documents are
    put aside below `work` (`aside_in`).

    Args:
        against: document shards that the corpus is only compared with.
        overlap: what is read for signatures has its anchors kept, too (`anchor_cache`); None where nobody will ask for them.
        cache: directory of signatures by content (see `signature_cache`).
        work: an empty directory for the parts of `SignedTexts`; the index is good as long as it is there.
    """
    source_of = {path: source for source, directory in cleaned.items() for path in shards(directory)}
    source_of |= dict.fromkeys(against, AGAINST)
    names = [pa.Table.from_batches([], NAMES)]
    sources: list[tuple[str, int]] = []
    groups: list[tuple[RowGroup, bool]] = []
    for path, source in source_of.items():
        with open_shard(path) as file:
            read = file.read(columns=NAMES.names)
            names.append(pa.Table.from_arrays([cast(read[each.name], each.type) for each in NAMES], schema=NAMES))
            check_rows(names[-1].num_rows, file.metadata.num_rows)
            own = source is not AGAINST
            groups += [(group, own) for group in row_groups(file, path, of_store=own)]
        sources.append((source, names[-1].num_rows))
    table = pa.concat_tables(names)
    sizes = {name: sum(count for source, count in sources if source == name) for name in cleaned}
    held = are_heldout(Names(table.column("group").slice(0, sum(sizes.values()))), heldout)
    partitions = partitions_for(table.num_rows, config, workers)
    sign = partial(_sign, config, cache, partitions, aside_in(work))
    tasks = list(_tasks(list(_unsigned(groups, overlap, held)), work, workers))
    lengths, digests, cached = [np.empty(0, np.int64)], [np.empty((0, DIGEST_BYTES), np.uint8)], 0
    for part_lengths, part_digests, reused in ordered_map(sign, tasks, workers, executor):
        lengths.append(part_lengths)
        digests.append(part_digests)
        cached += reused
    return Index(
        Names(table.column("id")),
        Names(_repeated(sources)),
        np.concatenate(lengths),
        np.concatenate(digests).view(np.uint64),
        SignedTexts(tuple(task.part for task in tasks), config, partitions),
        cached,
        sizes,
        held.size,
        held,
        {name: [group for group, own in groups if own and source_of[group.path] == name] for name in cleaned},
    )


def _unsigned(
    groups: Iterable[tuple[RowGroup, bool]], overlap: OverlapConfig | None, held: NDArray[np.bool_]
) -> Iterator[_Unsigned]:
    """Those of the corpus itself come first."""
    first = 0
    for group, own in groups:
        theirs = held[first : first + group.rows] if own else np.zeros(group.rows, dtype=np.bool_)
        yield _Unsigned(group, overlap if own else None, theirs)
        first += group.rows


def _tasks(groups: Sequence[_Unsigned], work: Path, workers: int) -> Iterator[_Task]:
    first = 0
    size = min(MAX_GROUPS_PER_TASK, 1 + len(groups) // (workers * TASKS_PER_WORKER))
    for number, some in enumerate(chunks(groups, size)):
        rows = sum(each.group.rows for each in some)
        yield _Task(tuple(some), Part(work / f"{number:08d}", first, rows))
        first += rows


def _sign(
    config: MinHashConfig, cache: Path, partitions: int, aside: Path, task: _Task
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]:
    """Write the part of a task; lengths and digests of its texts, and how many of them were cached."""
    found = [fingerprints_of(config, each.overlap, cache, each.group, aside, each.held) for each in task.groups]
    write_part(task.part, np.concatenate([each.signature for each, _ in found]), config, partitions)
    return (
        np.concatenate([each.lengths for each, _ in found]),
        np.concatenate([each.digests for each, _ in found]),
        sum(len(each.lengths) for each, cached in found if cached),
    )


def _repeated(runs: Sequence[tuple[str, int]]) -> pa.ChunkedArray:
    """Each name as often as it says, as indices into the few different ones."""
    arrays = [
        pa.DictionaryArray.from_arrays(as_column(np.zeros(count, np.int16)), cast(strings([name]), pa.large_string()))
        for name, count in runs
    ]
    return pa.chunked_array(arrays, pa.dictionary(pa.int16(), pa.large_string()))
