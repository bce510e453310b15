"""Archives are read member by member and never unpacked; what a hostile one tries is counted."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from lifecycle.corpora import opening, parts
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError
from tests.corpora.fixtures import PARAGRAPH, page, tarred, zipped
from tests.corpora.reading import read, source

PACK = {
    ".zip": zipped,
    ".tar": lambda members: tarred(members, "w"),
    ".tar.gz": tarred,
    ".tgz": tarred,
    ".tar.bz2": lambda members: tarred(members, "w:bz2"),
    ".tar.xz": lambda members: tarred(members, "w:xz"),
}


@pytest.mark.parametrize("suffix", sorted(PACK))
def test_members_of_every_kind_are_read(tmp_path: Path, suffix: str) -> None:
    lines = "".join(json.dumps({"text": f"line {number}"}) + "\n" for number in range(3)).encode()
    members = {
        "a/one.txt": "文本".encode("gb18030") * 40,
        "a/rows.jsonl": lines,
        "a/rows.jsonl.gz": gzip.compress(lines),
        "table.csv": b"text,n\nfirst,1\nsecond,2\n",
        "list.json": b'[{"text": ["a", "b"]}]',
        "page.html": page(PARAGRAPH * 3).encode(),
        ".hidden/x.txt": b"left out",
    }
    path = tmp_path / f"pack{suffix}"
    path.write_bytes(PACK[suffix](members))

    def texts(kind: str, pattern: str) -> list[str]:
        documents, account = read(tmp_path / kind / pattern, kind=kind, path=str(path), members=pattern)
        assert account.notes["members_left_out"] == 6 - len({json.loads(d["meta"])["file"] for d in documents})
        assert not account.dropped
        return [document["text"] for document in documents]

    assert texts("text", "*.txt") == ["文本" * 40]
    assert texts("jsonl", "*.jsonl") == ["line 0", "line 1", "line 2"]
    assert texts("jsonl", "*.jsonl.gz") == ["line 0", "line 1", "line 2"]
    assert texts("csv", "*.csv") == ["first", "second"]
    assert texts("json", "*.json") == ["a\nb"]
    assert texts("html", "*.html")[0].startswith("The main text")
    assert [file.path for file in snapshot(source(kind="text", path=str(path))).files] == [path.name]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_paths_that_leave_the_archive_are_refused(tmp_path: Path, suffix: str) -> None:
    names = ["../up.txt", "/etc/passwd", "a/../../b.txt", "C:/x.txt", "..\\w.txt"]
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(PACK[suffix](dict.fromkeys([*names, "good.txt", "inner.zip"], b"some text")))
    with pytest.raises(DataError, match=r"of 7 records are damaged.* at evil\.zip|at evil\.tar"):
        read(tmp_path / "strict", kind="text", path=str(path), tolerance=0.2)
    documents, account = read(tmp_path / "loose", kind="text", path=str(path), tolerance=1)
    assert account.dropped == {"unsafe_member_path": 5, "nested_archive": 1}
    assert [document["text"] for document in documents] == ["some text"]
    assert sorted(item.name for item in tmp_path.iterdir()) == [path.name, "loose", "strict"]


def test_links_and_encrypted_members_are_counted(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"link{kind!r}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        sound = tarfile.TarInfo("a.txt")
        sound.size = 4
        archive.addfile(sound, io.BytesIO(b"text"))
    (tmp_path / "l.tar").write_bytes(out.getvalue())
    _, account = read(tmp_path / "1", kind="text", path=str(tmp_path / "l.tar"), tolerance=1)
    assert account.dropped == {"member_is_a_link": 2, "unreadable_member": 1}
    data = bytearray(zipped({"a.txt": b"secret", "b.txt": b"open"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "e.zip").write_bytes(data)
    documents, account = read(tmp_path / "2", kind="text", path=str(tmp_path / "e.zip"), tolerance=1)
    assert account.dropped == {"encrypted_member": 1}
    assert [document["text"] for document in documents] == ["open"]


@pytest.mark.parametrize("kind", ["text", "jsonl"])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".gz"])
def test_a_bomb_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kind: str) -> None:
    """A few kilobytes that become gigabytes must neither fill memory nor take hours."""
    for module in (opening, parts):
        monkeypatch.setattr(module, "FREE_BYTES", 1 << 20)
    bomb = b"\n" * (64 << 20)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(gzip.compress(bomb) if suffix == ".gz" else PACK[suffix]({"bomb.txt": bomb}))
    (tmp_path / "good.txt").write_bytes(b'{"text": "sound"}\n')
    _, account = read(tmp_path / kind, kind=kind, path=str(tmp_path / "*.*"), tolerance=1)
    assert account.kept == 1
    assert account.dropped["decompression_bomb"] >= 1


def test_a_member_larger_than_allowed_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"big.txt": b"0123456789abcdef" * 100_000, "small.txt": b"small"}))
    documents, account = read(tmp_path, kind="text", path=str(tmp_path / "a.zip"), max_megabytes=1, tolerance=1)
    assert account.dropped == {"too_large": 1}
    assert [document["text"] for document in documents] == ["small"]


def test_a_cut_archive_keeps_what_came_before(tmp_path: Path) -> None:
    import random

    members = {f"{number}.txt": random.Random(number).randbytes(3000).hex().encode() for number in range(20)}
    (tmp_path / "cut.tar.gz").write_bytes(tarred(members)[:40_000])
    documents, account = read(tmp_path / "1", kind="text", path=str(tmp_path / "cut.tar.gz"), tolerance=1)
    assert 5 < len(documents) < 20
    assert set(account.dropped) <= {"unreadable_archive", "unreadable_file"}
    data = bytearray(zipped(members))
    data[5000] ^= 0xFF
    (tmp_path / "hurt.zip").write_bytes(data)
    documents, account = read(tmp_path / "2", kind="text", path=str(tmp_path / "hurt.zip"), tolerance=1)
    assert account.dropped == {"unreadable_file": 1}
    assert len(documents) == 19
    assert zipfile.is_zipfile(tmp_path / "hurt.zip")
