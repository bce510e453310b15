"""SHA-256 of files on this machine, kept between runs: a file that is as it was is not read again to find that out."""

import json
import time
from pathlib import Path

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
        self._now: dict[str, list[int | str]] = {}

    def of(self, file: Path) -> str:
        """The digest of a file's content; read only where path, inode, size or one of its times is another than before.

        The time of the inode is among them: a tool may set the time of the content back, but not that one.
        """
        name = str(file.absolute())
        started = time.time()
        state = _state(file)
        known = self._before.get(name)
        if known and known[:-1] == state:
            self._now[name] = known
            return str(known[-1])
        digest = digest_file(file)
        _, _, _, *times = state
        if max(times) + RACY_SECONDS * 1e9 < started * 1e9 and _state(file) == state:
            self._now[name] = [*state, digest]
        return digest

    def save(self) -> None:
        """Keep what is known for the next run."""
        if self._now != self._before:
            write_atomically(self._path, json.dumps(self._now))


def _state(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _read(path: Path) -> dict[str, list[int | str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: [*map(int, entry[:5]), str(entry[5])] for name, entry in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError):
        return {}
