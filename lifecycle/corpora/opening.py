"""Bytes of a file or archive member, decompressed as its suffix says, with every fault as one kind of error."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import zstandard

from lifecycle.corpora.paths import Location
from lifecycle.corpora.zstd import ZstdReader

MAX_RATIO = 500
"""Decompressed bytes per stored byte beyond which a file is a decompression bomb; text reaches 5 to 50."""
FREE_BYTES = 64 << 20
"""Decompressed bytes that need no such justification."""
CHUNK = 1 << 18

FAULTS = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,  # zipfile: encrypted member
    NotImplementedError,  # zipfile: a compression method of its own
    ValueError,  # bz2, and positions out of a damaged directory of a zip
)


class UnreadableError(OSError):
    """A file cannot be read further; `rule` is the ledger rule where the cause has one of its own."""

    def __init__(self, message: str, rule: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule


class GuardedReader(io.RawIOBase):
    """A stream whose faults all are `UnreadableError`, and which ends with one past `limit` bytes (`decompression_bomb`).

    Python's own readers raise nine kinds of errors on damaged input; the readers of corpora know one.
    """

    def __init__(self, stream: Any, limit: int | None, *below: Any) -> None:
        super().__init__()
        # read1 hands over what was decompressed before a fault; read would lose it.
        self._take = getattr(stream, "read1", stream.read)
        self._stream, self._below = stream, below
        self._limit, self._read = limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._take(len(buffer))
        except FAULTS as error:
            raise as_unreadable(error) from error
        self._read += len(data)
        if self._limit is not None and self._read > self._limit:
            raise UnreadableError(
                f"more than {self._limit:,} bytes come out, {MAX_RATIO} times what is stored", "decompression_bomb"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            for stream in (self._stream, *self._below):
                stream.close()
        super().close()


def as_unreadable(error: Exception) -> UnreadableError:
    """Any fault of reading as the one kind of error that readers know."""
    if isinstance(error, UnreadableError):
        return error
    return UnreadableError(f"{type(error).__name__}: {error}")


def rule_of(error: UnreadableError, otherwise: str) -> str:
    """Under which ledger rule a fault of reading is counted."""
    return error.rule or otherwise


DECOMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    ".tgz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    ".bz2": lambda file: bz2.BZ2File(file, "rb"),
    ".xz": lambda file: lzma.LZMAFile(file, "rb"),  # noqa: SIM115 - the caller closes it
    ".zst": lambda file: io.BufferedReader(ZstdReader(file)),
}


def open_stored(location: Location) -> tuple[BinaryIO, int]:
    """The bytes of a file as they are stored, and how many there are; raises UnreadableError."""
    try:
        raw = location.open("rb")
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
    except FAULTS as error:
        raise as_unreadable(error) from error
    return raw, size


def open_bytes(location: Location) -> BinaryIO:
    """The content of a file, decompressed as its suffix says (.gz, .bz2, .xz, .zst); raises UnreadableError, reading too."""
    raw, size = open_stored(location)
    return decompress(raw, location.name, size)


def decompress(raw: BinaryIO, name: str, stored: int) -> BinaryIO:
    """`raw`, decompressed as the suffix of `name` says; closing the result closes `raw`.

    Args:
        stored: bytes that `raw` holds; more than `MAX_RATIO` times as many do not come out.
    """
    make = DECOMPRESSORS.get(PurePosixPath(name).suffix.lower())
    guarded = GuardedReader(make(raw), stored * MAX_RATIO + FREE_BYTES, raw) if make else GuardedReader(raw, None)
    return io.BufferedReader(guarded, CHUNK)


def read_whole(file: BinaryIO, limit: int) -> bytes:
    """All bytes of `file`; raises UnreadableError under `too_large` when there are more than `limit`."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadableError(f"larger than {limit:,} bytes; raise `max_megabytes` to read it", "too_large")
    return data
