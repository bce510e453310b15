"""Held-out documents, put aside where their row group is read for signatures.

Which documents are held out is known by name before any text is read, and they are few in nearly every row group: the
held-out side would read nearly all text once more for them. What is put aside is this run's alone; of row groups whose
signatures were kept there is nothing, and they are read.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.corpora.arrow import filtered
from lifecycle.corpora.documents import open_shard, read_group
from lifecycle.corpora.row_groups import RowGroup
from lifecycle.curation.anchor_cache import texts_of
from lifecycle.curation.buffers import Bytes, Integers, buffers_of
from lifecycle.curation.sealed import entry_of, load_table, save_table


def aside_in(work: Path) -> Path:
    """Where in the directory of a run they lie."""
    return work / "aside"


def texts_putting_aside(directory: Path, group: RowGroup, held: NDArray[np.bool_]) -> tuple[Bytes, Integers]:
    """The texts of a row group (`buffers_of`); its documents that are `held` are put aside below `directory`.

    Not where they are half of it or more: they take more of the disk there, and reading all of it once more wastes little.

    Args:
        held: a truth value for each document.
    """
    if not 0 < 2 * held.sum() < held.size:
        return texts_of(group)
    with open_shard(group.path) as file:
        table = read_group(file, group.number)
    save_table(_entry(directory, group), filtered(table, held))
    return buffers_of(table.column("text"))


def put_aside(directory: Path, group: RowGroup) -> pa.Table | None:
    """The documents of a row group that were put aside, or None."""
    return load_table(_entry(directory, group))


def _entry(directory: Path, group: RowGroup) -> Path:
    """By content: what is held out is decided by columns of the row group, so that two with the same bytes share it."""
    return entry_of(directory, f"{group.layout} {group.content}")
