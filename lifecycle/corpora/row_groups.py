"""Row groups of document shards: what they hold, told from the footer of the file without reading a page.

`ShardWriter` keeps there a digest of the bytes of each row group, so that what is known of a row group is found again at the
cost of opening the file. It is believed of artifacts of the store, whose files are checked against their manifest. Of other
shards the bytes themselves are read: who rewrites a shard with Arrow may carry the old digests over to new rows.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

DIGESTS = b"row_group_digests"
"""Key in the footer; the value is a digest for each row group, in hexadecimal, between blanks."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of a shard of documents."""

    path: Path
    number: int
    rows: int
    size: int
    """Compressed bytes of all columns."""
    text: int
    """Uncompressed bytes of the column `text`."""
    layout: str
    """How the bytes are read: rows, compression, encodings."""
    content: str
    """Digest of the compressed bytes: XXH3 with 128 bits, as SHA-256 would cost a tenth of cleaning the text anew."""


class ShardWriter:
    """Writes a shard of documents, one row group for each table."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("wb")
        self._state = xxhash.xxh3_128()
        self._digests: list[str] = []
        # Texts and ids differ from row to row: a dictionary of them costs time and saves nothing.
        dictionary = [name for name in schema.names if name not in ("id", "text")]
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self, "w"),
            schema,
            compression="zstd",
            use_dictionary=dictionary,  # pyright: ignore[reportArgumentType]  a list of columns is allowed, too
            write_statistics=False,
            write_page_checksum=True,
        )

    def write_table(self, table: pa.Table) -> None:
        """Write one row group."""
        self._state.reset()
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._digests.append(self._state.hexdigest())

    def close(self) -> None:
        """End the file; what was written before is lost otherwise."""
        try:
            self._writer.add_key_value_metadata({DIGESTS.decode(): " ".join(self._digests)})
            self._writer.close()
        finally:
            self._file.close()

    def write(self, data: bytes) -> int:
        """What Arrow calls with the bytes of the file, in order."""
        self._state.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """What Arrow calls of a file."""
        self._file.flush()

    @property
    def closed(self) -> bool:
        """What Arrow asks of a file."""
        return self._file.closed


def row_groups(file: pq.ParquetFile, path: Path, of_store: bool = True) -> list[RowGroup]:
    """The row groups of an open shard of documents.

    Args:
        of_store: whether the shard belongs to an artifact, so that its footer speaks of its bytes.

    Raises:
        ArrowInvalid: the digests in the footer are not those of this file.
    """
    stated = (file.metadata.metadata or {}).get(DIGESTS, b"").decode().split() if of_store else []
    if stated and len(stated) != file.num_row_groups:
        raise pa.ArrowInvalid(f"it holds {file.num_row_groups} row groups, and digests of {len(stated)}")
    text = file.schema_arrow.get_field_index("text")
    found = []
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        size = sum(each.total_compressed_size for each in columns)
        layout = " ".join([str(group.num_rows), *(f"{each.compression}:{','.join(each.encodings)}" for each in columns)])
        content = stated[number] if stated else _digest(path, columns)
        found.append(RowGroup(path, number, group.num_rows, size, columns[text].total_uncompressed_size, layout, content))
    return found


def _digest(path: Path, columns: list[pq.ColumnChunkMetaData]) -> str:
    begins = [
        each.data_page_offset if each.dictionary_page_offset is None else each.dictionary_page_offset for each in columns
    ]
    end = max(start + each.total_compressed_size for start, each in zip(begins, columns, strict=True))
    with path.open("rb") as file:
        file.seek(min(begins))
        return xxhash.xxh3_128_hexdigest(file.read(end - min(begins)))
