"""What has arrived: which files are complete, and what is read again to find that out."""

import uuid
from pathlib import Path

import fsspec
import pytest

from lifecycle.corpora import known_digests
from lifecycle.corpora.remote import RemoteFile
from lifecycle.corpora.snapshot import snapshot, states
from lifecycle.errors import DataError
from tests.corpora.reading import read, source


@pytest.fixture(params=["local", "memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on this machine, in an object store, and behind a URL whose file system states no checksum."""
    return {"local": str(tmp_path), "memory": f"memory://{uuid.uuid4().hex}", "file": f"file://{tmp_path}"}[request.param]


def write(place: str, name: str, text: str = "text") -> None:
    with fsspec.open(f"{place}/{name}", "w", auto_mkdir=True) as file:
        file.write(text)  # type: ignore[union-attr]


def names(place: str, marker: str | None) -> list[str]:
    return [file.path for file in snapshot(source(kind="text", path=place, marker=marker)).files]


def test_a_file_is_complete_when_its_own_marker_lies_beside_it(place: str) -> None:
    for name in ("a.txt", "in/b.txt", "in/c.txt"):
        write(place, name)
    with pytest.raises(DataError, match=r"none of 3 files is complete yet: no '\*\.done' lies beside it"):
        names(place, "*.done")
    write(place, "in/b.txt.done")
    assert names(place, "*.done") == ["in/b.txt"]
    write(place, "a.txt.done")
    assert names(place, "*.done") == ["a.txt", "in/b.txt"], "a process that looks again sees what is new"


def test_a_directory_is_complete_when_its_marker_lies_in_it(place: str) -> None:
    for name in ("monday/a.txt", "tuesday/b.txt", "monday/_SUCCESS"):
        write(place, name)
    assert names(place, "_SUCCESS") == ["monday/a.txt"]


def test_readers_read_what_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.txt", "a.txt.done", "b.txt"):
        write(str(folder), name, name)
    documents, _ = read(tmp_path, kind="text", path=str(folder), marker="*.done")
    assert [document["text"] for document in documents] == ["a.txt"]


def test_looking_reads_nothing_and_another_digest_only_what_changed(
    place: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_digests, "RACY_SECONDS", -60.0)
    of, kept = source(kind="text", path=place), tmp_path_factory.mktemp("kept")
    for name in ("a.txt", "b.txt"):
        write(place, name)
    before, first = states(of), snapshot(of, kept)
    opened: list[str] = []
    real = RemoteFile.open
    monkeypatch.setattr(RemoteFile, "open", lambda file, mode="rb": opened.append(file.name) or real(file, mode))
    monkeypatch.setattr(known_digests, "digest_file", lambda path: opened.append(path.name) or "0" * 64)
    assert (states(of), snapshot(of, kept)) == (before, first)
    assert opened == []
    write(place, "b.txt", "longer text")
    assert states(of)["a.txt"] == before["a.txt"]
    assert states(of)["b.txt"] != before["b.txt"]
    assert snapshot(of, kept).digest != first.digest
    assert opened == ["b.txt"]
