"""Rows of JSON lines, with the long string of one field in UTF-8 as it stands in the line.

orjson makes a string of Python of every text, which the shard's writer turns into UTF-8 again: that is two thirds of what it
takes to read a line of Chinese. So compiled code takes the text out of a long line, and orjson parses the line with a short
string in its place. It says of the rest what it would have said of the whole, and where the short string comes out is the
field or not: a key that is given twice, stands elsewhere as well or is written otherwise needs no parser of ours.
"""

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from lifecycle.corpora.encoded_text import EncodedText

LONG_LINE = 3_000
"""Bytes of a line from which on this is faster, if not all of them are ASCII: of ASCII strings of Python are copies."""
PLAIN_BYTES = 32 << 20
"""So much of such lines is parsed whole at first in a process: to load what compiles takes 0.2 seconds, and to read Chinese
a millisecond less of each MB."""
_STAND_IN = os.urandom(16).hex()
"""In no line that was written before this process began."""
_QUOTED = b'"%s"' % _STAND_IN.encode("ascii")
_TO_VALUE = re.compile(rb'[ \t]*:[ \t]*"')


class RowReader:
    """Parses lines whose text is under one field, or under the first of several that a row has."""

    plain_bytes = 0
    """Bytes of long lines that this process has parsed whole."""

    def __init__(self, field: str | Sequence[str]) -> None:
        self._field = field if isinstance(field, str) else ""
        self._key = orjson.dumps(field) if isinstance(field, str) else None
        self._utf8_of: Callable[[bytes, int], tuple[int, bytes, int] | None] | None = None

    def row(self, line: bytes) -> Any:
        """What the line says, where a long text of the field may be `EncodedText`; raises `orjson.JSONDecodeError`."""
        if self._key is None or len(line) < LONG_LINE or line.isascii():
            return orjson.loads(line)
        if RowReader.plain_bytes < PLAIN_BYTES:
            RowReader.plain_bytes += len(line)
            return orjson.loads(line)
        row = self._row_of_encoded_text(line, self._key)
        return orjson.loads(line) if row is None else row

    def _row_of_encoded_text(self, line: bytes, key: bytes) -> dict[str, Any] | None:
        """The row with its text as `EncodedText`, or None where this text does not come out of this place of the line."""
        place = line.find(key)
        opening = _TO_VALUE.match(line, place + len(key)) if place >= 0 else None
        if opening is None:
            return None
        begin = opening.end()
        self._utf8_of = self._utf8_of or _compiled()
        found = self._utf8_of(line, begin)
        if found is None:
            return None
        end, utf8, characters = found
        try:
            row = orjson.loads(b"".join((line[: begin - 1], _QUOTED, line[end + 1 :])))
        except orjson.JSONDecodeError:
            return None
        if not isinstance(row, dict) or row.get(self._field) != _STAND_IN:
            return None
        row[self._field] = EncodedText(utf8, characters)
        return row


def _compiled() -> Callable[[bytes, int], tuple[int, bytes, int] | None]:
    from lifecycle.curation.json_strings import room, utf8_of

    return partial(utf8_of, scratch=room())
