"""The anchors of each row group of a document shard, computed once per content and configuration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.corpora.documents import open_shard, read_group
from lifecycle.corpora.row_groups import RowGroup
from lifecycle.curation.anchors import Hashes, anchors_of
from lifecycle.curation.buffers import Bytes, Integers, buffers_of
from lifecycle.curation.sealed import entry_of, load, save
from lifecycle.recipe.corpora import OverlapConfig

VERSION = 4
"""Raised when the same text has other anchors."""


@dataclass(frozen=True)
class Anchored:
    """The anchors of the texts of one row group, one text after another, and how many each has, shape (texts,)."""

    hashes: Hashes
    counts: Integers


def anchored(config: OverlapConfig, cache: Path, group: RowGroup) -> Anchored:
    """The anchors of one row group; computed and kept below `cache` where they are not."""
    entry = anchor_entry(config, cache, group)
    payload = load(entry)
    if payload is not None:
        split = payload.size - 8 * group.rows
        return Anchored(payload[:split].view(np.uint64), payload[split:].view(np.int64))
    made = Anchored(*anchors_of(*texts_of(group), config))
    keep_anchors(entry, made)
    return made


def anchor_entry(config: OverlapConfig, cache: Path, group: RowGroup) -> Path:
    """Where the anchors of a row group are kept."""
    return entry_of(cache, f"anchors {VERSION} {config.model_dump_json()} {group.layout} {group.content}")


def keep_anchors(entry: Path, made: Anchored) -> None:
    """Write the anchors of a row group to where they are kept."""
    save(entry, made.hashes.tobytes() + made.counts.tobytes())


def texts_of(group: RowGroup) -> tuple[Bytes, Integers]:
    """The texts of a row group, read from where it lies (`buffers_of`)."""
    with open_shard(group.path) as file:
        return buffers_of(read_group(file, group.number, ["text"]).column("text"))
