"""Web archives: pages become text, and damage is counted and passed."""

import gzip
import json
from pathlib import Path

import pytest

from lifecycle.errors import DataError
from tests.corpora.fixtures import CHINESE, PARAGRAPH, members, page, record, response
from tests.corpora.reading import read
from tests.shared_data import shared

ENGLISH_PAGE = response(page(PARAGRAPH * 3).encode())


@pytest.mark.parametrize("suffix", [".warc", ".warc.gz", ".whole.warc.gz"])
def test_pages_and_conversions(tmp_path: Path, suffix: str) -> None:
    records = [
        record("warcinfo", b"software: x\r\n"),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("response", ENGLISH_PAGE),
        record("response", response(b"{}", "application/json")),
        record("response", response(page("gone").encode(), status="404 Not Found")),
        record("response", response(b"<html><body></body></html>")),
        record("conversion", CHINESE.encode(), url="http://example.cn/"),
    ]
    packed = {".warc": b"".join(records), ".warc.gz": members(*records), ".whole.warc.gz": gzip.compress(b"".join(records))}
    (tmp_path / f"a{suffix}").write_bytes(packed[suffix])
    documents, account = read(tmp_path, kind="warc", path=str(tmp_path / f"a{suffix}"), tolerance=0)
    assert [document["url"] for document in documents] == ["http://example.com/", "http://example.cn/"]
    assert documents[0]["text"].startswith("The main text")
    assert "Contact" not in documents[0]["text"]
    assert documents[1]["text"] == CHINESE
    assert json.loads(documents[0]["meta"])["date"] == "2024-01-02T03:04:05Z"
    assert account.dropped == {"http_status": 1, "no_main_text": 1}
    assert account.notes["warc_request"] == account.notes["warc_response"] == account.notes["warc_warcinfo"] == 1


@pytest.mark.parametrize(
    ("encoding", "header", "meta"),
    [
        ("gb18030", "text/html", ""),
        ("gbk", "text/html; charset=ISO-8859-1", ""),
        ("gb18030", "text/html; charset=utf-8", "<meta charset=gb2312>"),
        ("big5", "text/html", "<meta http-equiv=Content-Type content='text/html; charset=big5'>"),
        ("utf-8", "text/html; charset=gb2312", "<meta charset=gb2312>"),
        ("utf-16", "text/html", ""),
    ],
)
def test_a_missing_or_wrong_charset(tmp_path: Path, encoding: str, header: str, meta: str) -> None:
    text = "臺灣的圖書館裡有許多書，學生們在這裡讀書，他們說這是一個安靜的地方。" * 3 if encoding == "big5" else CHINESE * 3
    html = page(text, meta).encode(encoding)
    (tmp_path / "a.warc.gz").write_bytes(members(record("response", response(html, header))))
    documents, _ = read(tmp_path, kind="warc", path=str(tmp_path / "a.warc.gz"), language="zh")
    assert documents[0]["text"] == text


@pytest.mark.parametrize(
    ("encoding", "declared"), [("cp1251", "windows-1251"), ("cp1252", "iso-8859-1"), ("cp1252", "nonsense")]
)
def test_declared_single_byte_charsets(tmp_path: Path, encoding: str, declared: str) -> None:
    text = {"cp1251": "Это простой текст о городе и людях, которые живут в нём. ", "cp1252": "Café “naïve” à Zürich… "}[
        encoding
    ] * 4
    html = page(text).encode(encoding)
    (tmp_path / "a.warc").write_bytes(record("response", response(html, f"text/html; charset={declared}")))
    documents, account = read(tmp_path, kind="warc", path=str(tmp_path / "a.warc"), language="ru")
    assert documents[0]["text"] == text.strip()
    assert account.notes["encodings"] == {encoding: 1}


def test_damaged_records_are_counted_and_passed(tmp_path: Path) -> None:
    good = [record("response", ENGLISH_PAGE, url=f"http://example.com/{number}") for number in range(6)]
    wrong = record("response", ENGLISH_PAGE, digest="sha1:" + "A" * 32)
    packed = bytearray(members(*good[:3]))
    start = len(members(good[0]))
    packed[start + 60 : start + 90] = bytes(30)
    blob = bytes(packed) + b"not a gzip member" + members(wrong, b"no record at all\r\n", good[3]) + members(good[4])[:-60]
    (tmp_path / "a.warc.gz").write_bytes(blob)
    with pytest.raises(DataError, match=r"at a\.warc\.gz:record 5"):
        read(tmp_path / "strict", kind="warc", path=str(tmp_path / "a.warc.gz"))
    documents, account = read(tmp_path / "loose", kind="warc", path=str(tmp_path / "a.warc.gz"), tolerance=1)
    assert [document["url"][-1] for document in documents] == ["0", "2", "3"]
    assert account.dropped["bad_digest"] == account.dropped["invalid_record"] == account.dropped["truncated_record"] == 1
    assert account.dropped["damaged_gzip"] >= 2
    assert account.samples["bad_digest"][0].id.startswith("a.warc.gz:record ")
    plain = good[0] + b"junk\nmore junk\n" + good[1] + good[2][:-100]
    (tmp_path / "b.warc").write_bytes(plain)
    documents, account = read(tmp_path / "plain", kind="warc", path=str(tmp_path / "b.warc"), tolerance=1)
    assert len(documents) == 2
    assert account.dropped == {"invalid_record": 1, "truncated_record": 1}


def test_real_archives(tmp_path: Path) -> None:
    """Among them a clipped file, ARC, chunked bodies, a bad digest, gbk pages without a charset, and gzip in one member."""
    documents, account = read(tmp_path / "1", kind="warc", path=str(shared("raw/warc") / "*.warc.gz"), tolerance=0.05)
    assert account.dropped["truncated_record"] == 1
    assert {"utf-8", "gb18030", "cp1251"} <= set(account.notes["encodings"])
    assert "\ufffd" not in "".join(document["text"] for document in documents)
    edge = shared("raw/warc/warcio_edge_cases.tar.gz")
    documents, account = read(tmp_path / "2", kind="warc", path=str(edge), tolerance=0.6)
    assert account.dropped["bad_digest"] == 1
    files = {json.loads(document["meta"])["file"].rpartition("/")[2] for document in documents}
    assert {"example.arc", "example.arc.gz", "example-iana.org-chunked.warc", "example-bad-non-chunked.warc.gz"} <= files
