"""Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import DataError
from tests.corpora.reading import read


def test_rows_become_documents(tmp_path: Path) -> None:
    table = pa.table({"body": ["一", "two", None, " "], "key": [1, 2, 3, 4], "link": ["u", None, None, None]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    fields = {"kind": "parquet", "path": str(tmp_path / "a.parquet"), "text_field": "body", "tolerance": 0.5}
    documents, account = read(tmp_path, **fields, id_field="key", url_field="link")
    assert [(document["text"], document["url"]) for document in documents] == [("一", "u"), ("two", None)]
    assert account.dropped == {"empty_text": 2}


def test_categories_are_text_too(tmp_path: Path) -> None:
    """pandas writes repeated strings as a dictionary column."""
    pq.write_table(pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode()}), tmp_path / "a.parquet")
    documents, _ = read(tmp_path, kind="parquet", path=str(tmp_path / "a.parquet"))
    assert [document["text"] for document in documents] == ["a", "b", "a"]


def test_strings_that_are_not_utf8_are_damage(tmp_path: Path) -> None:
    """Parquet does not check its strings; such a row ended the stage with UnicodeDecodeError."""
    column = pa.array([b"sound", b"\xff\xfe", b"sound too"]).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    documents, account = read(tmp_path, kind="parquet", path=str(tmp_path / "a.parquet"), tolerance=0.5)
    assert [document["text"] for document in documents] == ["sound", "sound too"]
    assert account.dropped == {"invalid_utf8": 1}
    assert account.samples["invalid_utf8"][0].id == "a.parquet:row 1"


def test_missing_column_and_broken_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 1000}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column 'body'"):
        read(tmp_path / "1", kind="parquet", path=str(tmp_path / "a.parquet"), text_field="body")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"unreadable_file at a\.parquet"):
        read(tmp_path / "2", kind="parquet", path=str(tmp_path / "a.parquet"))
