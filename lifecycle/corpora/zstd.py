"""Zstandard files as a stream that knows when it was cut short."""

import io
from typing import Any, BinaryIO

import zstandard

CHUNK = 1 << 18


class ZstdReader(io.RawIOBase):
    """The decompressed bytes of a `.zst` file of one or more frames; wrap it in `io.BufferedReader`.

    Closing it closes `file`.

    Raises:
        EOFError: on reading, when the file ends inside a frame. The library's own reader ends there without a word.
        zstandard.ZstdError: on reading, when the bytes are damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame.eof else b""
            chunk = rest or self._file.read(CHUNK)
            if not chunk:
                if self._inside and not self._frame.eof:
                    raise EOFError("the file ends inside a Zstandard frame: it was cut short")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._inside = True
            self._ready = self._frame.decompress(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
