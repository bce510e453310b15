"""Runs of row groups of a directory of documents: what one worker takes at a time, and what results are kept for.

Where a unit ends depends on the content around it, so that documents added in one place move no other unit's bounds.
"""

from dataclasses import dataclass
from pathlib import Path

import xxhash

from lifecycle.corpora.cuts import ends_run, mean_size
from lifecycle.corpora.documents import SCHEMA, open_shard, shards

UNITS = 64
"""About as many units as a small directory is cut into; a larger one into units of `LARGEST_MEAN`."""
SMALLEST_MEAN, LARGEST_MEAN = 1 << 20, 1 << 26
"""Bytes of text of a unit."""


@dataclass(frozen=True)
class Unit:
    """Row groups `first` up to `last` of one shard, and the bytes of the file in which they lie."""

    path: Path
    first: int
    last: int
    begin: int
    end: int
    rows: int
    layout: str
    """How these bytes are read."""

    def key(self, settings: str) -> str:
        """Digest of the content and of what decides the result.

        XXH3 with 128 bits, over the compressed bytes: SHA-256 would cost a tenth of cleaning the text anew.
        """
        state = xxhash.xxh3_128()
        with self.path.open("rb") as file:
            file.seek(self.begin)
            state.update(file.read(self.end - self.begin))
        state.update(f"{self.layout}\n{settings}".encode())
        return state.hexdigest()


@dataclass(frozen=True)
class _Group:
    path: Path
    number: int
    begin: int
    end: int
    rows: int
    text: int
    layout: str


def units(directory: Path) -> list[Unit]:
    """The units of a directory of documents, in order; each is within one shard.

    Raises:
        DataError: there is no shard, or one is damaged.
    """
    groups = [group for path in shards(directory) for group in _groups(path)]
    mean = mean_size(sum(group.text for group in groups), UNITS, SMALLEST_MEAN, LARGEST_MEAN)
    found: list[Unit] = []
    run: list[_Group] = []
    for place, group in enumerate(groups):
        run.append(group)
        ends = place + 1 == len(groups) or groups[place + 1].path != group.path
        if ends or _is_cut(run, mean):
            found.append(_unit(run))
            run = []
    return found


def _is_cut(run: list[_Group], mean: int) -> bool:
    last = run[-1]
    return ends_run(f"{last.layout} {last.end - last.begin} {last.text}", last.text, sum(group.text for group in run), mean)


def _unit(run: list[_Group]) -> Unit:
    first, last = run[0], run[-1]
    layout = "\n".join(group.layout for group in run)
    rows = sum(group.rows for group in run)
    return Unit(first.path, first.number, last.number + 1, first.begin, last.end, rows, layout)


def _groups(path: Path) -> list[_Group]:
    with open_shard(path) as file:
        metadata = file.metadata
    text = SCHEMA.get_field_index("text")
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        begins = [
            each.data_page_offset if each.dictionary_page_offset is None else each.dictionary_page_offset for each in columns
        ]
        begin = min(begins)
        end = max(start + each.total_compressed_size for start, each in zip(begins, columns, strict=True))
        layout = " ".join([str(group.num_rows), *(f"{each.compression}:{','.join(each.encodings)}" for each in columns)])
        found.append(_Group(path, number, begin, end, group.num_rows, columns[text].total_uncompressed_size, layout))
    return found
