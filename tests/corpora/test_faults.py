"""Sources with which something is wrong as a whole: each ends in the ledger or in a clear error, never in a hang."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.corpora import read as reading
from lifecycle.corpora.documents import iter_documents
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError
from tests.corpora.fixtures import PARAGRAPH, page, record, response
from tests.corpora.reading import read, source
from tests.curation.cleaning import rows, write_documents
from tests.curation.test_minhash import random_text
from tests.patience import PATIENCE

NOBODY = 65534
SENTENCE = "the quick brown fox number {:09d} jumps over the lazy dog, and that is all. "
LONG = """
import sys
from pathlib import Path
from lifecycle.curation.clean import clean_source
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CurationConfig
from tests.corpora.reading import read
kind, path, out = sys.argv[1:]
documents, account = read(Path(out), kind=kind, path=path)
assert account.kept == 2 and account.dropped == {}, account
sizes = [len(document["text"]) for document in documents]
del documents
(Path(out) / "clean").mkdir()
facts = clean_source(Path(out) / "out", "sample", CurationConfig(workers=1), Path(out) / "clean", Path(out) / "run")
assert facts["dropped"] == {"too_long": 1} and facts["rows"] == 1, facts
# Of this process alone: what getrusage says begins with the size of the process that forked it.
peak = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
print(max(sizes), int(peak.split()[1]) << 10)
"""


@contextmanager
def as_nobody() -> Iterator[None]:
    """The superuser may read everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter; the one of `tmp_path` is ours alone."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _write_huge(path: Path, kind: str, size: int) -> None:
    """One document of so many bytes on one line, and a small one after it."""
    text = "".join(SENTENCE.format(number) for number in range(size // len(SENTENCE.format(0)) + 1))
    if kind == "parquet":
        pq.write_table(pa.table({"text": [text, PARAGRAPH]}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": each}) + "\n" for each in (text, PARAGRAPH)), encoding="utf-8")
    else:
        path.mkdir()
        (path / "a.txt").write_text(text, encoding="utf-8")
        (path / "b.txt").write_text(PARAGRAPH, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
def test_a_line_of_200_megabytes(tmp_path: Path, kind: str) -> None:
    """It is read, judged and counted in memory of some copies of itself."""
    size = 200_000_000
    _write_huge(tmp_path / f"a.{kind}", kind, size)
    command = [sys.executable, "-c", LONG, kind, str(tmp_path / f"a.{kind}"), str(tmp_path / "read")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-3000:]
    longest, peak = map(int, done.stdout.split())
    assert longest >= size
    assert peak < 1_200_000_000 + 8 * size  # where no cache holds the kernels, compiling them takes its part


def test_a_line_larger_than_allowed_is_counted_and_the_next_one_read(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x" * 3_000_000}), json.dumps({"text": PARAGRAPH})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    documents, account = read(tmp_path / "read", kind="jsonl", path=str(tmp_path / "a.jsonl"), max_megabytes=1, tolerance=1)
    assert [document["text"] for document in documents] == [PARAGRAPH]
    assert account.dropped == {"too_large": 1}


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_nested_pages(tmp_path: Path, depth: int) -> None:
    """A hundred thousand nested elements take parsers the square of that; it is a ledger entry, in files and in WARC."""
    deep = page("<div>" * depth + PARAGRAPH * 3 + "</div>" * depth, "").encode()
    (tmp_path / "a.html").write_bytes(deep)
    (tmp_path / "b.html").write_bytes(page(f"<p>{PARAGRAPH}</p>" * 3, "").encode())
    (tmp_path / "a.warc").write_bytes(
        record("response", response(deep)) + record("response", response(page(PARAGRAPH, "").encode()))
    )
    for kind, path in (("html", tmp_path / "*.html"), ("warc", tmp_path / "a.warc")):
        documents, account = read(tmp_path / f"read {kind}", kind=kind, path=str(path), tolerance=1)
        expected = {"page_too_deep": 1} if depth > 1_500 else {}
        assert account.dropped == expected
        assert len(documents) == 2 - len(expected)


def test_lone_surrogates_in_json(tmp_path: Path) -> None:
    """Half of a pair is no text: the record is counted, and costs no other one, be they lines or items of one array."""
    records = [
        '{"text": "a \\ud800 b"}',
        '{"text": "whole \\ud83d\\ude00 pair", "n": 123456789012345678901234567890}',
        '{"text": "\\udc00"}',
        '{"text": "fine", "author": "\\ud800"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(records), encoding="utf-8")
    (tmp_path / "a.json").write_text(f"[{','.join(records)}]", encoding="utf-8")
    for kind in ("jsonl", "json"):
        documents, account = read(tmp_path / f"read {kind}", kind=kind, path=str(tmp_path / f"a.{kind}"), tolerance=1)
        assert [document["text"] for document in documents] == ["whole 😀 pair"]
        assert account.dropped == {"invalid_json": 3}
        with pytest.raises(DataError, match=rf"sample: 3 of 4 records.*invalid_json at a\.{kind}:[134]: .*ud(800|c00)"):
            read(tmp_path / f"strict {kind}", kind=kind, path=str(tmp_path / f"a.{kind}"))


@pytest.mark.parametrize("fault", ["NaN", "1e", "[" * 100_000, '"\x01"', "1" * 5000 + "x"])
def test_a_lone_surrogate_makes_no_other_fault_of_a_file_pass(tmp_path: Path, fault: str) -> None:
    """The reader that knows halves of pairs knows no more of what is not JSON, and is not felled by what is deep."""
    (tmp_path / "a.json").write_text(f'[{{"text": "\\ud800"}}, {{"text": {fault}}}]', encoding="utf-8")
    with pytest.raises(DataError, match=r"invalid_json at a\.json:1: "):
        read(tmp_path / "read", kind="json", path=str(tmp_path / "a.json"))


@pytest.mark.parametrize("kind", ["text", "jsonl", "json", "csv", "html", "warc", "parquet"])
def test_an_empty_file_is_not_a_source(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.{kind}").touch()
    with pytest.raises(DataError, match=r"source sample: .*no document could be read|source sample: 1 of 1 records"):
        read(tmp_path / "read", kind=kind, path=str(tmp_path / f"a.{kind}"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening a named pipe waits for somebody to write to it: for ever."""
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"field path: '.*a\.txt' is neither a file nor a directory \(a pipe"):
        snapshot(source(kind="text", path=str(tmp_path / "a.txt")))
    (tmp_path / "b.txt").write_text(PARAGRAPH, encoding="utf-8")
    documents, _ = read(tmp_path / "read", kind="text", path=str(tmp_path / "*.txt"))
    assert [document["text"] for document in documents] == [PARAGRAPH]


def test_a_directory_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(DataError, match=r"source sample, field path: no file matches '.*a\.jsonl'"):
        read(tmp_path / "read", kind="jsonl", path=str(tmp_path / "a.jsonl"))


def test_a_file_that_may_not_be_read_is_named(open_directory: Path) -> None:
    (open_directory / "a.txt").write_text(PARAGRAPH, encoding="utf-8")
    (open_directory / "a.txt").chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"a\.txt: cannot be read: Permission denied"):
        snapshot(source(kind="text", path=str(open_directory)))


def test_a_directory_that_may_not_be_entered_is_named(open_directory: Path) -> None:
    """Its files were left out in silence."""
    (open_directory / "a.txt").write_text(PARAGRAPH, encoding="utf-8")
    inner = open_directory / "inner"
    inner.mkdir()
    (inner / "b.txt").write_text(PARAGRAPH, encoding="utf-8")
    inner.chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"inner: this directory cannot be read: Permission denied"):
        snapshot(source(kind="text", path=str(open_directory)))


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
@pytest.mark.parametrize("change", ["shrinks", "grows", "vanishes"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, kind: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read then is not what the snapshot, and with it the lineage, speaks of."""
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"text": [f"{PARAGRAPH} {number}" for number in range(5000)]}), path)
        else:
            path.write_text("".join(json.dumps({"text": PARAGRAPH}) + "\n" for _ in range(5000)), encoding="utf-8")
    real = reading.records

    def changing(*arguments):
        for number, item in enumerate(real(*arguments)):
            if number == 0:
                victim = tmp_path / f"b.{kind}"
                if change == "vanishes":
                    victim.unlink(missing_ok=True)
                else:
                    os.truncate(victim, victim.stat().st_size // 2 if change == "shrinks" else victim.stat().st_size * 2)
            yield item

    monkeypatch.setattr(reading, "records", changing)
    with pytest.raises(DataError, match=rf"b\.{kind}"):
        read(tmp_path / "read", kind=kind, path=str(tmp_path / f"*.{kind}"), tolerance=1)


def test_damage_of_a_shard_is_seen(tmp_path: Path) -> None:
    """A changed bit anywhere in a shard is an error that names it, or changes nothing; it never gives other documents."""
    corpus = write_documents(tmp_path / "a", [random_text(seed, 30) for seed in range(20)])
    shard = corpus / "documents-00000.parquet"
    sound, expected = shard.read_bytes(), rows(corpus)
    seen = 0
    for at in range(0, len(sound), 11):
        shard.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
        try:
            assert rows(corpus) == expected
        except DataError as error:
            assert "documents-00000.parquet: this shard of documents cannot be read" in str(error)  # noqa: PT017
            seen += 1
    assert seen > len(sound) // 11 // 3
    for cut in (0, 3, 100, len(sound) // 2, len(sound) - 1):
        shard.write_bytes(sound[:cut])
        with pytest.raises(DataError, match=r"documents-00000\.parquet: this shard"):
            list(iter_documents(corpus))
