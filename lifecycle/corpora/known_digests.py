"""Digests of files, kept between runs: a file that is as it was is not read again to find that out."""

import json
import time
from pathlib import Path

from lifecycle.corpora.paths import Location
from lifecycle.corpora.remote import RemoteFile
from lifecycle.digests import digest_file
from lifecycle.files import write_atomically

RACY_SECONDS = 3.0
"""A file that was touched so shortly before it was read may be written to again without another time: file systems count in
steps of up to two seconds. Its digest is not kept (git's rule for its index)."""


class KnownDigests:
    """Digests of one source's files; those asked for are kept by `save`, others are forgotten."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _read(path)
        self._now: dict[str, list[float | str]] = {}

    def of(self, file: Location) -> str:
        """The digest of a file's content; read only where path, inode, size or one of its times is another than before.

        The time of the inode is among them: a tool may set the time of the content back, but not that one. A file behind a
        URL is read only where its file system states no checksum, and its size or time is another, or not stated.
        """
        if isinstance(file, RemoteFile):
            stated = file.checksum()
            if stated:
                return stated
            name = f"{file.filesystem.protocol} {file.path}"
        else:
            name = str(file.absolute())
        started = time.time()
        state = _state(file)
        if state is None:
            return _read_digest(file)
        known = self._before.get(name)
        if known and known[:-1] == state:
            self._now[name] = known
            return str(known[-1])
        digest = _read_digest(file)
        if _touched(state) + RACY_SECONDS < started and _state(file) == state:
            self._now[name] = [*state, digest]
        return digest

    def save(self) -> None:
        """Keep what is known for the next run."""
        if self._now != self._before:
            write_atomically(self._path, json.dumps(self._now))


def _read_digest(file: Location) -> str:
    return file.digest() if isinstance(file, RemoteFile) else digest_file(file)


def _state(file: Location) -> list[float] | None:
    """Device, inode, size and both times in nanoseconds, or size and time in seconds; None where no time is known."""
    if isinstance(file, RemoteFile):
        modified = file.modified()
        return None if modified is None else [file.size(), modified]
    stat = file.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _touched(state: list[float]) -> float:
    """When the file changed last, in seconds since 1970."""
    return state[1] if len(state) == 2 else max(state[3:]) / 1e9


def _read(path: Path) -> dict[str, list[float | str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: [*(each + 0 for each in entry[:-1]), str(entry[-1])] for name, entry in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError):
        return {}
