"""Runs of row groups of a directory of documents: what one worker takes at a time, and what results are kept for.

Where a unit ends depends on the content around it, so that documents added in one place move no other unit's bounds.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from lifecycle.corpora.arrow import taken
from lifecycle.corpora.cuts import ends_run, mean_size
from lifecycle.corpora.documents import Document, open_shard, read_group, shards
from lifecycle.corpora.row_groups import RowGroup, row_groups

UNITS = 64
"""About as many units as a small directory is cut into; a larger one into units of `LARGEST_MEAN`."""
SMALLEST_MEAN, LARGEST_MEAN = 1 << 20, 1 << 26
"""Bytes of text of a unit."""


@dataclass(frozen=True)
class Unit:
    """Neighbouring row groups of one shard, number `first` up to `last`."""

    groups: tuple[RowGroup, ...]

    @property
    def path(self) -> Path:
        """The shard."""
        return self.groups[0].path

    @property
    def first(self) -> int:
        """Number of its first row group."""
        return self.groups[0].number

    @property
    def last(self) -> int:
        """Number of the row group behind it."""
        return self.groups[-1].number + 1

    @property
    def rows(self) -> int:
        """How many documents it has."""
        return sum(group.rows for group in self.groups)

    @property
    def content(self) -> str:
        """Digests of the row groups, and how they are read."""
        return content_of(self.groups)

    def key(self, settings: str) -> str:
        """Digest of the content and of what decides the result."""
        return xxhash.xxh3_128_hexdigest(f"{self.content}\n{settings}".encode())


def units(directory: Path) -> list[Unit]:
    """The units of a directory of documents, in order; each is within one shard.

    Raises:
        DataError: there is no shard, or one is damaged.
    """
    groups: list[RowGroup] = []
    for path in shards(directory):
        with open_shard(path) as file:
            groups += row_groups(file, path)
    return units_of(groups)


def units_of(groups: Sequence[RowGroup]) -> list[Unit]:
    """The units of all row groups of a directory."""
    mean = mean_size(sum(group.text for group in groups), UNITS, SMALLEST_MEAN, LARGEST_MEAN)
    found: list[Unit] = []
    run: list[RowGroup] = []
    for place, group in enumerate(groups):
        run.append(group)
        ends = place + 1 == len(groups) or groups[place + 1].path != group.path
        if ends or is_cut(run, mean):
            found.append(Unit(tuple(run)))
            run = []
    return found


def content_of(groups: Sequence[RowGroup]) -> str:
    """Digests of some row groups, and how they are read."""
    return "\n".join(f"{group.content} {group.layout}" for group in groups)


def rows_of(unit: Unit, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Document]]:
    """Some documents of a unit by their number in it, in order; row groups without one of them are not read."""
    begin = 0
    with open_shard(unit.path) as file:
        for number in range(unit.first, unit.last):
            end = begin + file.metadata.row_group(number).num_rows
            here = places[bisect_left(places, begin) : bisect_left(places, end)]
            if here:
                table = read_group(file, number, columns)
                yield from zip(here, taken(table, np.array(here) - begin).to_pylist(), strict=True)
            begin = end


def is_cut(run: Sequence[RowGroup], mean: int) -> bool:
    """Whether a run of row groups ends with the last of them; runs of about `mean` bytes of text are wanted."""
    last = run[-1]
    return ends_run(f"{last.layout} {last.size} {last.text}", last.text, sum(group.text for group in run), mean)
