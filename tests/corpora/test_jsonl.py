"""JSON lines: what goes in comes out, and everything else is in the ledger."""

import bz2
import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.ledger import SAMPLES_PER_RULE
from tests.corpora.reading import read

COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=1, max_size=20)
DAMAGE = {
    "invalid_json": '{"text": "unfinished',
    "not_an_object": '["text"]',
    "missing_text_field": '{"body": "no such field"}',
    "text_not_a_string": '{"text": 17}',
    "empty_text": '{"text": "  "}',
}


@settings(max_examples=15, deadline=None)
@given(TEXTS, st.sampled_from(sorted(COMPRESS)), st.booleans())
def test_text_survives_the_way_through_json_lines(texts: list[str], suffix: str, ascii_only: bool) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / f"a.jsonl{suffix}"
        lines = "".join(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in texts)
        path.write_bytes(COMPRESS[suffix](lines.encode()))
        documents, account = read(Path(name), kind="jsonl", path=str(path))
    assert [document["text"] for document in documents] == texts
    assert (account.read, account.kept, account.dropped) == (len(texts), len(texts), {})
    assert len({document["id"] for document in documents}) == len(texts)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["good", *DAMAGE]), min_size=1, max_size=40).filter(lambda kinds: "good" in kinds))
def test_the_ledger_accounts_for_every_line(kinds: list[str]) -> None:
    """read = kept + sum of drops, whatever is damaged, each under its own rule, with file and line in the sample."""
    with TemporaryDirectory() as name:
        path = Path(name) / "a.jsonl"
        path.write_text("".join(DAMAGE.get(kind, '{"text": "sound"}') + "\n" for kind in kinds))
        _, account = read(Path(name), kind="jsonl", path=str(path), tolerance=1.0)
    expected = {rule: kinds.count(rule) for rule in DAMAGE if rule in kinds}
    assert account.dropped == expected
    assert account.read == len(kinds) == account.kept + sum(expected.values())
    for rule in expected:
        places = {f"a.jsonl:{line}" for line, kind in enumerate(kinds, 1) if kind == rule}
        assert {sample.id for sample in account.samples[rule]} <= places
        assert len(account.samples[rule]) == min(len(places), SAMPLES_PER_RULE)


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_field_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_text('{"content": {"body": "words"}, "title": "t", "long": "' + "x" * 500 + '"}')
    with pytest.raises(DataError, match=r"no field 'text' or 'txt'; there are content\.body, title, long"):
        read(tmp_path, kind=kind, path=str(tmp_path / "a"), text_field=["text", "txt"])


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_truncated_file_is_never_taken_for_a_whole_one(tmp_path: Path, suffix: str) -> None:
    """The zstandard library's own reader ends a truncated file without an error: half a corpus was gone unnoticed."""
    lines = "".join(json.dumps({"text": f"document {number} {hash(str(number) * 9)}"}) + "\n" for number in range(60_000))
    packed = COMPRESS[suffix](lines.encode())
    path = tmp_path / f"cut.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"cut\.jsonl"):
        read(tmp_path / "strict", kind="jsonl", path=str(path), tolerance=0.0)
    _, account = read(tmp_path / "tolerant", kind="jsonl", path=str(path), tolerance=1.0)
    assert account.dropped["truncated_file"] == 1
    path.write_bytes(packed)
    documents, _ = read(tmp_path / "whole", kind="jsonl", path=str(path), tolerance=0.0)
    assert len(documents) == 60_000


def test_several_zstd_frames_are_one_file(tmp_path: Path) -> None:
    frames = [zstandard.compress(f'{{"text": "frame {number}"}}\n'.encode()) for number in range(3)]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    documents, _ = read(tmp_path, kind="jsonl", path=str(tmp_path / "a.jsonl.zst"))
    assert [document["text"] for document in documents] == ["frame 0", "frame 1", "frame 2"]


def test_a_records_own_id_decides_the_documents_and_stays_unique(tmp_path: Path) -> None:
    """Ids that restart in every file, or twice in one, must not make two documents one; a moved record keeps its id, and a
    file that is added changes none of the others."""
    (tmp_path / "a.jsonl").write_text('{"text": "one", "id": 1, "url": "u"}\n{"text": "two", "id": 2}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "three", "id": 1}\n{"text": "four", "id": 1}\n')
    both, account = read(tmp_path / "1", kind="jsonl", path=str(tmp_path / "*.jsonl"), id_field="id", url_field="url")
    assert len({document["id"] for document in both}) == len({document["group"] for document in both}) == 4
    assert account.notes["repeated_ids"] == 1
    assert [document["url"] for document in both] == ["u", None, None, None]
    (tmp_path / "a.jsonl").write_text('{"text": "two", "id": 2}\n')
    moved, _ = read(tmp_path / "2", kind="jsonl", path=str(tmp_path / "a.jsonl"), id_field="id")
    assert moved[0]["id"] == both[1]["id"]


def test_lone_surrogates_are_counted(tmp_path: Path) -> None:
    """`\\ud800` alone has no UTF-8 form; it must not end the stage when the shard is written."""
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud800 pair"}\n{"text": "sound"}\n')
    documents, account = read(tmp_path, kind="jsonl", path=str(tmp_path / "a.jsonl"), tolerance=1.0)
    assert account.dropped == {"invalid_json": 1}
    assert [document["text"] for document in documents] == ["sound"]
