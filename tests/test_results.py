"""Results kept by content: whole or not there, and never trusted when damaged."""

import os
from pathlib import Path

import pytest

from lifecycle import results
from lifecycle.results import link, made, result

KEY = "ab" * 16


def make(directory: Path) -> None:
    (directory / "a.txt").write_text("content")


def test_a_result_is_made_once_and_made_again_when_damaged(tmp_path: Path) -> None:
    """An artifact holds a hard link to the entry: what damages the one damages the other, and must not spread."""
    first, was_there = result(tmp_path, KEY, make)
    assert not was_there
    assert result(tmp_path, KEY, pytest.fail) == (first, True)
    link(first / "a.txt", tmp_path / "linked.txt")
    (tmp_path / "linked.txt").write_text("damaged")
    again, was_there = result(tmp_path, KEY, make)
    assert not was_there
    assert (again / "a.txt").read_text() == "content"
    (again / "a.txt").unlink()
    assert not result(tmp_path, KEY, make)[1]


def test_a_result_is_read_again_when_the_machine_was_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A crash may leave a file that was being written with its size and time, and other content."""
    monkeypatch.setattr(results, "BOOT", tmp_path / "boot")

    def anew(boot: str) -> None:
        (tmp_path / "boot").write_text(boot)
        results._boot.cache_clear()

    anew("first")
    request.addfinalizer(results._boot.cache_clear)
    kept = tmp_path / "kept"
    file = result(kept, KEY, make)[0] / "a.txt"
    before = file.stat()
    file.write_text("damaged")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert result(kept, KEY, make)[1]
    anew("second")
    assert not result(kept, KEY, make)[1]
    anew("third")
    assert result(kept, KEY, pytest.fail)[1]
    with monkeypatch.context() as patched:
        patched.setattr(results, "_digest", pytest.fail)
        assert result(kept, KEY, pytest.fail)[1]


def test_a_result_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        make(directory)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        result(tmp_path, KEY, fail)
    assert list(tmp_path.iterdir()) == []
    assert not result(tmp_path, KEY, make)[1]


def test_the_same_result_made_twice_at_once(tmp_path: Path) -> None:
    """Two workers that make one entry: the second finds the first one's and both go on."""

    def make_while_another_does(directory: Path) -> None:
        result(tmp_path, KEY, make)
        make(directory)

    entry, _ = result(tmp_path, KEY, make_while_another_does)
    assert (entry / "a.txt").read_text() == "content"
    assert [path.name for path in tmp_path.iterdir()] == [KEY[:2]]


def test_a_result_whose_key_is_known_when_it_is_made(tmp_path: Path) -> None:
    """It is found by that key from then on, and where it is there already that one stays."""

    def make_it(directory: Path) -> str:
        make(directory)
        return KEY

    first = made(tmp_path, make_it)
    inode = (first / "a.txt").stat().st_ino
    assert made(tmp_path, make_it) == first
    assert (first / "a.txt").stat().st_ino == inode
    assert result(tmp_path, KEY, pytest.fail) == (first, True)
    assert [path.name for path in tmp_path.iterdir()] == [KEY[:2]]
