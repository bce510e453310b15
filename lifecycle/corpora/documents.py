"""Documents on disk: zstd Parquet shards with one row a document, read and written as a stream."""

import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.arrow import encoded_strings, strings, taken
from lifecycle.corpora.encoded_text import utf8_of
from lifecycle.corpora.row_groups import ShardWriter
from lifecycle.errors import DataError

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("lang", pa.string()),
        ("group", pa.string()),
        ("meta", pa.string()),
    ]
)
"""`group` names documents that stay on one side of the held-out split; `meta` is a JSON object."""

SHARD_BYTES = 128_000_000
ROW_GROUP_ROWS = 10_000
"""Rows of a row group at most, and of a batch read."""
CUT_AFTER_BYTES = 500_000
CUT_MEAN_BYTES = 2_000_000
CUT_MOST_BYTES = 6_000_000
"""A row group of `CUT_AFTER_BYTES` of text ends with the next document that a hash of its id picks, by chance in proportion
to its size. A document added anywhere then changes the row group that it falls into and, up to the next such place, none
behind it; what is cached of the others stays valid. With `CUT_MOST_BYTES` it ends in any case: memory is that of the largest
one, and without a bound the largest grows with their number."""

Document = dict[str, Any]


def shards(directory: Path) -> list[Path]:
    """The document shards of a directory in order; raises DataError when there is none."""
    paths = sorted(directory.glob("documents-*.parquet"))
    if not paths:
        raise DataError(f"{directory}: no documents-*.parquet in this directory")
    return paths


@contextmanager
def open_shard(path: Path) -> Iterator[pq.ParquetFile]:
    """A shard to read from, every page against its checksum.

    The pages have checksums, Parquet's own tables of them have not: `check_rows` what was read.

    Raises:
        DataError: now or while it is read, it is not what `DocumentWriter` wrote.
    """
    try:
        # Of a path Arrow would first find out, at some cost, which file system it is of.
        with pa.OSFile(str(path)) as opened, _parquet(opened) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise pa.ArrowInvalid(f"its columns are {file.schema_arrow.to_string(truncate_metadata=True)[:300]}")
            check_rows(sum(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)), file.metadata.num_rows)
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: this shard of documents cannot be read ({error}). It is damaged or unreadable: delete the artifact's "
            "directory and run again, which makes it anew"
        ) from error


def _parquet(opened: pa.NativeFile) -> pq.ParquetFile:
    """Columns are read when they are asked for, and not by threads ahead of that."""
    return pq.ParquetFile(opened, page_checksum_verification=True, pre_buffer=False)


def check_rows(found: int, stated: int) -> None:
    """Within `open_shard`: that the rows which were read are those which the shard should have."""
    if found != stated:
        raise pa.ArrowInvalid(f"it holds {found} rows where its metadata speak of {stated}")


def read_group(file: pq.ParquetFile, number: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One row group of an open shard; raises ArrowInvalid where rows are missing.

    Without threads: all but one column of documents are small, and to wake a thread for each costs a tenth of reading them.
    """
    table = file.read_row_group(number, columns=None if columns is None else list(columns), use_threads=False)
    check_rows(table.num_rows, file.metadata.row_group(number).num_rows)
    return table


def iter_documents(directory: Path, columns: Sequence[str] | None = None) -> Iterator[Document]:
    """Every document of a directory in order, one dictionary each; memory stays that of one row group."""
    for path in shards(directory):
        yield from documents_of(path, columns)


def documents_of(path: Path, columns: Sequence[str] | None = None) -> Iterator[Document]:
    """Every document of one shard."""
    with open_shard(path) as file:
        rows = 0
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, columns=list(columns) if columns else None):
            rows += batch.num_rows
            yield from batch.to_pylist()
        check_rows(rows, file.metadata.num_rows)


def rows_at(directory: Path, rows: Iterable[int], columns: Sequence[str]) -> Iterator[tuple[int, Document]]:
    """Some documents of a directory by their number, in order; row groups without one of them are not read."""
    wanted, begin = sorted(rows), 0
    for path in shards(directory):
        with open_shard(path) as file:
            for number in range(file.num_row_groups):
                end = begin + file.metadata.row_group(number).num_rows
                here = wanted[bisect_left(wanted, begin) : bisect_left(wanted, end)]
                if here:
                    found = taken(read_group(file, number, columns), np.array(here) - begin).to_pylist()
                    yield from zip(here, found, strict=True)
                begin = end


def shard_name(number: int) -> str:
    """The file name of the shard of this number."""
    return f"documents-{number:05d}.parquet"


def shard_writer(path: Path) -> ShardWriter:
    """A writer of one shard."""
    return ShardWriter(path, SCHEMA)


class DocumentWriter:
    """Writes documents into shards of about `SHARD_BYTES` of text; use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._columns: dict[str, list[str | None]] = {name: [] for name in SCHEMA.names if name != "text"}
        self._texts: list[bytes] = []
        self._group_bytes = 0
        self._shard_bytes = 0
        self._shard = 0
        self._writer: ShardWriter | None = None

    def __enter__(self) -> "DocumentWriter":
        self._directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._shard == 0:
                self._open()
        if self._writer:
            self._writer.close()
            self._writer = None

    def add(self, document: Document) -> None:
        """Append one document with the columns of `SCHEMA`; absent ones are null.

        Raises:
            UnicodeEncodeError: its text holds a lone surrogate; the document is not appended.
        """
        text = utf8_of(document["text"])
        size = len(text)
        self._texts.append(text)
        for name, column in self._columns.items():
            column.append(document.get(name))
        self._shard_bytes += size
        self._group_bytes += size
        if len(self._texts) >= ROW_GROUP_ROWS or self._shard_bytes >= SHARD_BYTES or self._is_cut(document["id"], size):
            self._flush()

    def _is_cut(self, identifier: str, size: int) -> bool:
        if self._group_bytes < CUT_AFTER_BYTES:
            return False
        chance = zlib.crc32(identifier.encode("utf-8", "surrogatepass")) / 2**32
        return chance * CUT_MEAN_BYTES < size or self._group_bytes >= CUT_MOST_BYTES

    def _flush(self) -> None:
        if not self._texts:
            return
        writer = self._writer or self._open()
        texts = encoded_strings(self._texts)
        columns = [texts if name == "text" else strings(self._columns[name]) for name in SCHEMA.names]
        writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        self._texts, self._group_bytes = [], 0
        for column in self._columns.values():
            column.clear()
        if self._shard_bytes >= SHARD_BYTES:
            writer.close()
            self._writer = None
            self._shard_bytes = 0

    def _open(self) -> ShardWriter:
        self._writer = shard_writer(self._directory / shard_name(self._shard))
        self._shard += 1
        return self._writer
