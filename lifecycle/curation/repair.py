"""Every repair over a column of texts: what needs nothing stays where it is, white space is repaired in compiled code, and
Python sees the rest."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.curation.buffers import buffers_of, column_of, lengths_of, text_of
from lifecycle.curation.compiled import compiled
from lifecycle.curation.normalise import NEEDED, normalise, repairs
from lifecycle.curation.repeated_lines import Hashes
from lifecycle.curation.screen import WHITE, Bytes, Flags, Integers, screen, screen_table, tidy
from lifecycle.differences import first_difference
from lifecycle.recipe.corpora import CurationConfig

CONTEXT, EXCERPT = 40, 200
"""Characters before the first change, and in all, of the sample of a repair."""
MOST_BYTES = 4
"""Of a character in UTF-8."""
WHITE_SPACE = "white_space"


@dataclass(frozen=True)
class Change:
    """What one rule did to one document."""

    document: int
    rule: str
    before: str | None
    after: str | None
    """Excerpts around the first difference; None where the rule is the only one that changed the document."""
    removed: int
    """Characters that the document lost."""


@dataclass(frozen=True)
class Repaired:
    """A column of texts after every repair."""

    texts: pa.LargeStringArray
    characters: Integers
    """Of each text as it was read, shape (documents,)."""
    characters_left: Integers
    """The same after every repair."""
    changes: list[Change] = field(default_factory=list)
    """By document, and by rule in the order in which the rules ran."""


def repair(texts: pa.Array | pa.ChunkedArray, config: CurationConfig, repeated: Hashes = frozenset()) -> Repaired:
    """Every text as `normalise` leaves it, with what was changed."""
    buffer, offsets = buffers_of(texts)
    count = offsets.size - 1
    flags, characters = np.zeros(count, np.uint16), np.zeros(count, np.int64)
    screen(buffer, offsets, screen_table(), flags, characters)
    changes: list[Change] = []
    rewritten: dict[int, bytes] = {}
    for_python = _for_python(flags, config)
    for document in np.flatnonzero(for_python).tolist():
        text = text_of(buffer, offsets, document)
        before = text
        for rule, after in normalise(text, config, repeated):
            changes.append(Change(document, rule, *around_difference(text, after), len(text) - len(after)))
            text = after
        if text is not before:
            rewritten[document] = text.encode("utf-8", "surrogatepass")
    white = ((flags & WHITE) != 0) & ~for_python
    if not rewritten and not white.any():
        return Repaired(column_of(buffer, offsets), characters, characters, changes)
    out, places = _assemble(buffer, offsets, white, rewritten)
    left = lengths_of(out, places)
    removed = (characters - left).tolist()
    changes += [Change(document, WHITE_SPACE, None, None, removed[document]) for document in np.flatnonzero(white).tolist()]
    changes.sort(key=lambda change: change.document)
    return Repaired(column_of(out, places), characters, left, changes)


def _for_python(flags: Flags, config: CurationConfig) -> NDArray[np.bool_]:
    """Which documents some repair in Python could change."""
    if config.boilerplate or config.pii or config.repeated_lines:
        return np.ones(flags.shape, np.bool_)
    wanted = 0
    for rule in repairs(config):
        wanted |= NEEDED[rule]
    return (flags & (wanted & ~WHITE)) != 0


def _assemble(
    buffer: Bytes, offsets: Integers, white: NDArray[np.bool_], rewritten: dict[int, bytes]
) -> tuple[Bytes, Integers]:
    """All texts in one new buffer."""
    count = offsets.size - 1
    replaced = np.full(count + 1, -1, np.int64)
    sizes = np.zeros(len(rewritten) + 1, np.int64)
    for number, (document, data) in enumerate(rewritten.items()):
        replaced[document] = number
        sizes[number + 1] = sizes[number] + len(data)
    given = np.frombuffer(b"".join(rewritten.values()) or bytes(1), dtype=np.uint8)
    # of Arrow's pool, which keeps its pages: new ones cost as much as the copying
    out = np.frombuffer(pa.allocate_buffer(int(offsets[-1] - offsets[0] + sizes[-1]) + 1), dtype=np.uint8)
    places = np.zeros(count + 1, np.int64)
    _fill(buffer, offsets, screen_table(), white, replaced, given, sizes, out, places)
    out = out[: places[-1]]
    out.flags.writeable = False
    return out, places


@compiled
def _fill(
    buffer: Bytes,
    offsets: Integers,
    marks: NDArray[np.uint32],
    white: NDArray[np.bool_],
    replaced: Integers,
    given: Bytes,
    sizes: Integers,
    out: Bytes,
    places: Integers,
) -> None:
    place = 0
    for i in range(offsets.size - 1):
        if replaced[i] >= 0:
            begin, end = sizes[replaced[i]], sizes[replaced[i] + 1]
            out[place : place + end - begin] = given[begin:end]
            place += end - begin
        elif white[i]:
            place = tidy(buffer, offsets[i], offsets[i + 1], marks, out, place)
        else:
            begin, end = offsets[i], offsets[i + 1]
            out[place : place + end - begin] = buffer[begin:end]
            place += end - begin
        places[i + 1] = place


def around_difference(old: str, new: str) -> tuple[str, str]:
    """Both texts from a little before the first character in which they differ."""
    start = max(0, first_difference(old, new) - CONTEXT)
    return old[start : start + EXCERPT], new[start : start + EXCERPT]


def around_difference_of(old: bytes, new: bytes) -> tuple[str, str]:
    """The same of UTF-8, of which no more is decoded than is shown."""
    place = first_difference(old, new)
    begin, end = max(0, place - MOST_BYTES * (CONTEXT + 1)), place + MOST_BYTES * EXCERPT
    return around_difference(old[begin:end].decode("utf-8", "ignore"), new[begin:end].decode("utf-8", "ignore"))
