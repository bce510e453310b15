"""The records of a web archive one by one, each in memory, past damage to the next sound one."""

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lifecycle.corpora.opening import UnreadableError, rule_of

GZIP_MAGIC = b"\x1f\x8b\x08"
CHUNK = 1 << 16
MAX_LINE = 64 << 10
MAX_HEADER_BYTES = 1 << 20
LENGTH = re.compile(rb"^content-length:\s*(\d{1,15})\s*$", re.I)
ARC_LINE = re.compile(rb"^(?:[a-zA-Z][a-zA-Z0-9+.-]*:\S*.*) \S+ \d{8,14} \S+(?: .*)? (\d{1,15})\r?\n$")


@dataclass(frozen=True)
class RawRecord:
    """The bytes of one record, headers included; or the rule under which it is counted and what was wrong."""

    data: bytes
    rule: str | None = None


def raw_records(file: BinaryIO, limit: int) -> Iterator[RawRecord]:
    """Every record of a WARC or ARC file, stored plainly or as gzip members.

    A gzip member that is damaged is counted (`damaged_gzip`), and reading goes on at the next one; bytes that are no record
    are counted once (`invalid_record`) up to the next line that begins one; a record that its file ends in is
    `truncated_record`, one of more than `limit` bytes `too_large`.
    """
    head = file.peek(3)[:3] if isinstance(file, io.BufferedReader) else b""
    try:
        if head == GZIP_MAGIC:
            for member, rule in _gzip_members(file, limit):
                found = list(_records(io.BytesIO(member), limit)) if rule in (None, "truncated_record") else []
                yield from found or ([RawRecord(member[:300], rule)] if rule else [])
        else:
            yield from _records(file, limit)
    except UnreadableError as error:
        yield RawRecord(str(error).encode(), rule_of(error, "truncated_record"))


def _gzip_members(file: BinaryIO, limit: int) -> Iterator[tuple[bytes, str | None]]:
    """What each member holds, with a rule where it is not whole; after that the next magic number begins a member."""
    rest = b""
    while rest := rest or file.read(CHUNK):
        out, rule, rest = _member(file, rest, limit)
        yield out, rule
        if rule:
            rest = _seek_magic(file, rest)
        else:
            rest = rest.lstrip(b"\0")


def _member(file: BinaryIO, rest: bytes, limit: int) -> tuple[bytes, str | None, bytes]:
    """One member that begins with `rest`: its content, the rule of its damage, the bytes read beyond it."""
    inflate = zlib.decompressobj(wbits=31)
    out, size = [], 0
    data = rest
    while not inflate.eof:
        if not data and not (data := file.read(CHUNK)):
            return b"".join(out), "truncated_record", b""
        try:
            piece = inflate.decompress(data, CHUNK * 16)
        except zlib.error:
            return b"".join(out), "damaged_gzip", data[1:]
        data = inflate.unconsumed_tail
        size += len(piece)
        out.append(piece)
        if size > limit:
            return b"".join(out), "too_large", data
    return b"".join(out), None, inflate.unused_data


def _seek_magic(file: BinaryIO, data: bytes) -> bytes:
    while True:
        found = data.find(GZIP_MAGIC)
        if found >= 0:
            return data[found:]
        more = file.read(CHUNK)
        if not more:
            return b""
        data = data[-2:] + more


def _records(file: BinaryIO, limit: int) -> Iterator[RawRecord]:
    junk = b""
    while line := file.readline(MAX_LINE):
        is_warc = line.startswith(b"WARC/")
        arc = None if is_warc else ARC_LINE.match(line)
        if not is_warc and not arc:
            if line.strip(b"\r\n\0 "):
                junk = junk or line[:300]
            continue
        if junk:
            yield RawRecord(junk, "invalid_record")
            junk = b""
        if arc:
            length: int | None = int(arc.group(1))
        else:
            line, length = _warc_header(file, line)
        yield _with_body(file, line, length, limit)
    if junk:
        yield RawRecord(junk, "invalid_record")


def _warc_header(file: BinaryIO, head: bytes) -> tuple[bytes, int | None]:
    length = None
    while line := file.readline(MAX_LINE):
        head += line
        if not line.strip(b"\r\n"):
            return head, length
        if len(head) > MAX_HEADER_BYTES:
            return head, None
        found = LENGTH.match(line.strip(b"\r\n"))
        length = int(found.group(1)) if found else length
    return head, None


def _with_body(file: BinaryIO, head: bytes, length: int | None, limit: int) -> RawRecord:
    if length is None:
        return RawRecord(head[:300], "invalid_record")
    if length > limit:
        left = length
        while left > 0 and (skipped := file.read(min(left, CHUNK))):
            left -= len(skipped)
        return RawRecord(head[:300], "too_large")
    body = file.read(length)
    if len(body) < length:
        return RawRecord(head[:300], "truncated_record")
    return RawRecord(head + body + b"\r\n\r\n")
