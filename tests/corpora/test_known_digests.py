"""What is not read again: files that are as they were, and row groups whose shard says what they hold."""

import os
from pathlib import Path

import opencc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.corpora import documents, known_digests
from lifecycle.corpora.documents import SCHEMA, open_shard, shard_writer
from lifecycle.corpora.encodings import COMMON_HAN, TRADITIONAL_HAN
from lifecycle.corpora.known_digests import KnownDigests
from lifecycle.corpora.row_groups import DIGESTS, RowGroup, row_groups
from lifecycle.digests import digest_file


def digest(kept: Path, file: Path) -> str:
    known = KnownDigests(kept)
    found = known.of(file)
    known.save()
    return found


def overwrite(file: Path, text: str) -> None:
    """Other content of the same length in the same file, with the time that it had; only the time of the inode is new."""
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:
        with file.open("r+") as opened:
            opened.write(text)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_is_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_digests, "RACY_SECONDS", -60.0)
    file, kept = tmp_path / "a.txt", tmp_path / "kept.json"
    file.write_text("one")
    first = digest(kept, file)
    with monkeypatch.context() as patched:
        patched.setattr(known_digests, "digest_file", pytest.fail)
        assert digest(kept, file) == first
    overwrite(file, "two")
    assert digest(kept, file) == digest_file(file) != first
    kept.write_text('{"a": [1, "x"]}')
    assert digest(kept, file) == digest_file(file)


def test_a_file_touched_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be written to again within one step of the file system's clock, and nothing but its bytes would tell."""
    monkeypatch.setattr(known_digests, "RACY_SECONDS", 3600.0)
    file, kept = tmp_path / "a.txt", tmp_path / "kept.json"
    file.write_text("one")
    digest(kept, file)
    read = []
    monkeypatch.setattr(known_digests, "digest_file", lambda path: read.append(path) or digest_file(path))
    digest(kept, file)
    assert read == [file]


def _table(words: str) -> pa.Table:
    rows = [{"id": f"{number:024x}", "text": f"{words} {number} " * 40, "source": "a", "group": "g"} for number in range(50)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _write(path: Path, *words: str) -> Path:
    writer = shard_writer(path)
    for each in words:
        writer.write_table(_table(each))
    writer.close()
    return path


def _groups(path: Path, of_store: bool = True) -> list[RowGroup]:
    with open_shard(path) as file:
        return row_groups(file, path, of_store)


def test_a_shard_says_what_its_row_groups_hold(tmp_path: Path) -> None:
    """As their bytes do; a row group is the same wherever in a file it lies."""
    one, two = _write(tmp_path / "1.parquet", "some", "other"), _write(tmp_path / "2.parquet", "other", "third", "some")
    assert _groups(one) == _groups(one, of_store=False)
    assert _groups(two) == _groups(two, of_store=False)
    contents = [[group.content for group in _groups(path)] for path in (one, two)]
    assert contents[0] == [contents[1][2], contents[1][0]]


def test_no_row_group_grows_past_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one step holds in memory is a row group: left to chance, the largest of a thousand is six times the mean."""
    monkeypatch.setattr(documents, "CUT_AFTER_BYTES", 10_000)
    monkeypatch.setattr(documents, "CUT_MEAN_BYTES", 10**15)
    monkeypatch.setattr(documents, "CUT_MOST_BYTES", 60_000)
    with documents.DocumentWriter(tmp_path) as writer:
        for row in _table("words").to_pylist() * 40:
            writer.add(row)
    sizes = [group.text for group in _groups(tmp_path / "documents-00000.parquet")]
    assert len(sizes) > 5
    assert max(sizes) < 70_000


def test_a_shard_that_was_rewritten_is_not_taken_at_its_word(tmp_path: Path) -> None:
    """Arrow carries what a footer says over to a table, and from there into another file."""
    one = _write(tmp_path / "1.parquet", "some")
    carried = {DIGESTS: pq.read_metadata(one).metadata[DIGESTS]}
    pq.write_table(_table("else").replace_schema_metadata(carried), tmp_path / "2.parquet")
    assert _groups(tmp_path / "2.parquet")[0].content == _groups(one)[0].content
    assert _groups(tmp_path / "2.parquet", of_store=False)[0].content != _groups(one)[0].content


def test_the_traditional_forms_are_those_of_opencc() -> None:
    forms = zip(COMMON_HAN, opencc.OpenCC("s2t").convert(COMMON_HAN), strict=True)
    assert "".join(form for character, form in forms if form != character) == TRADITIONAL_HAN
