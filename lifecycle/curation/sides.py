"""One side of the corpus, held-out or training, unit by unit: without duplicates, without what quotes protected texts."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.arrow import filtered, strings, taken
from lifecycle.corpora.documents import SCHEMA, Document, open_shard, read_group, shard_writer
from lifecycle.corpora.units import Unit
from lifecycle.curation.buffers import beginning_of, buffers_of, lengths_of, text_of
from lifecycle.curation.comparing import COMPARED, Begun, Comparing, Places, Remaining
from lifecycle.curation.contamination import HELDOUT
from lifecycle.curation.protected import Protected
from lifecycle.curation.put_aside import put_aside
from lifecycle.curation.repeated import Repeated, says_something, without
from lifecycle.ledger import EXCERPT_BYTES, Ledger, LedgerWriter
from lifecycle.recipe.corpora import RepeatedTextConfig
from lifecycle.results import kept, made, result

Side = Literal["heldout", "train"]

STAYS, OTHER_SIDE, QUOTES, FIRST_RULE = 0, 1, 2, 3
"""What is known of a document before it is read. One that `QUOTES` shares a passage with a held-out text; from `FIRST_RULE`
on it is the place of its rule in `Task.rules`."""
DOCUMENTS = "documents.parquet"
CONTAMINATION = "contamination.parquet"
QUOTING = "quoting.npy"
"""Numbers of the documents that went because they share a passage with a held-out text; no file where none did."""
OVERLAPS_HELDOUT = "overlaps_heldout"
BY_FILE = "contaminated_by_file"
"""Note of the ledger: documents that share a passage with each evaluation file."""


@dataclass(frozen=True)
class Task:
    """A unit of one source, and what is known of its documents."""

    source: str
    unit: Unit
    first: int
    """Position in the corpus of its first document."""
    known: bytes
    """One for each document."""
    rules: tuple[str, ...]
    repeated: Repeated | None = None
    remaining: Remaining | None = None
    """What is not known yet of its documents: whether they share a passage with the last slice of the held-out side."""

    def quoting(self, documents: Collection[int]) -> "Task":
        """The task with some documents marked that share a passage with a held-out text."""
        if not documents:
            return self
        known = np.frombuffer(self.known, dtype=np.uint8).copy()
        known[list(documents)] = QUOTES
        return replace(self, known=known.tobytes())

    def key(self, settings: str) -> str:
        """Digest of all that decides the result."""
        known = f"{xxhash.xxh3_128_hexdigest(self.known)} {self.rules}"
        if self.repeated:
            known += f" {self.repeated.digest}"
        return self.unit.key(f"{settings}\n{self.source}\n{known}")


@dataclass(frozen=True)
class Passing:
    """What is asked of every document of one side."""

    side: Side
    evaluation: Protected | None
    repeated: RepeatedTextConfig
    comparing: Comparing | None
    """How what remains of a `Task` is compared; None where nothing does."""
    aside: Path | None
    """Where documents of this side may have been put aside (`put_aside`); None where none were."""

    def settings(self, code_version: str) -> str:
        """What decides the result of a unit besides its content and its `Task`."""
        evaluation = self.evaluation.identity() if self.evaluation else ""
        return f"{code_version} {self.side} {self.repeated.model_dump_json()} {evaluation}"


class Passed(NamedTuple):
    """The entry of a unit: the documents that stay (no file where none does), what they share with protected texts, and the
    ledger; whether it was there; and what came of the comparison that remained."""

    entry: Path
    was_there: bool
    places: Places


def pass_unit(passing: Passing, settings: str, cache: Path, task: Task) -> Passed:
    """Write a unit, unless what it gives is there.

    What remains to be compared is compared as its texts are read to be written. Where the unit is there as it is if nothing
    comes of it, which is what comes mostly, only the row groups of suspects are read.
    """
    places: Places = []
    if passing.comparing and task.remaining:
        if not kept(cache, task.key(settings)):

            def compare_and_write(directory: Path) -> str:
                unit = _Unit(passing, task)
                unit.write(directory)
                places.extend(unit.compared())
                return task.quoting(dict(places)).key(settings)

            return Passed(made(cache, compare_and_write), False, places)
        places = passing.comparing.places(task.remaining)
        task = replace(task.quoting(dict(places)), remaining=None)
    entry, was_there = result(cache, task.key(settings), lambda directory: _Unit(passing, task).write(directory))
    return Passed(entry, was_there, places)


class _Unit:
    """The documents of one unit on their way."""

    def __init__(self, passing: Passing, task: Task) -> None:
        self._passing, self._task = passing, task
        self._evaluation = passing.evaluation.overlaps() if passing.evaluation else None
        self._repeated = task.repeated.places() if task.repeated else {}
        self._begun = Begun(passing.comparing, task.remaining) if passing.comparing and task.remaining else None
        self._quoting: list[int] = []
        self._ledger = LedgerWriter(task.source)

    def write(self, directory: Path) -> None:
        characters = documents = 0
        writer = None
        try:
            for table, known, numbers in _tables(self._task, self._passing.aside):
                if self._begun:
                    known = _compared(self._begun, table, known, numbers)
                kept, lengths = self._judge(table, known, numbers)
                documents += kept.num_rows
                characters += lengths
                if kept.num_rows:
                    writer = writer or shard_writer(directory / DOCUMENTS)
                    writer.write_table(kept)
        finally:
            if writer:
                writer.close()
        for note, count in (("split", documents), ("split_characters", characters)):
            self._ledger.notes[note] = {"heldout": 0, "train": 0} | {self._passing.side: count}
        if self._evaluation:
            self._evaluation.write(directory / CONTAMINATION)
            self._ledger.notes[BY_FILE] = dict(sorted(self._evaluation.documents_by_file.items()))
        if self._quoting:
            np.save(directory / QUOTING, np.array(self._quoting))
        Ledger(sources=(self._ledger.close(),)).write(directory)

    def compared(self) -> Places:
        """What came of the comparison that remained, after they were written."""
        return self._begun.end() if self._begun else []

    def _judge(self, table: pa.Table, known: NDArray[np.uint8], numbers: NDArray[np.int64]) -> tuple[pa.Table, int]:
        """Enter documents into the ledger; those that stay, as they stay, and their characters.

        Most texts stay or go unread: only those of which a passage or a line is looked for become Python strings.
        """
        ledger, side = self._ledger, self._passing.side
        buffer, offsets = buffers_of(table["text"])
        read = lengths_of(buffer, offsets)
        left, stays = read.copy(), known != OTHER_SIDE
        ids = table["id"].to_pylist()
        beginning = partial(beginning_of, buffer, offsets, size=EXCERPT_BYTES)
        rests: dict[int, str] = {}
        for place in self._asked(known, numbers):
            number = int(numbers[place])
            rule, rest = self._verdict(table, place, int(known[place]), self._repeated.get(number))
            if rule:
                stays[place] = False
                if rule == OVERLAPS_HELDOUT:
                    self._quoting.append(number)
                excerpt = beginning(place) if ledger.wants(rule, ids[place]) else ""
                ledger.drop(rule, ids[place], excerpt, int(read[place]), int(read[place]))
            elif rest is not None:
                rests[place], left[place] = rest, len(rest)
                before = text_of(buffer, offsets, place)
                ledger.change(f"repeated_{self._passing.repeated.unit}", ids[place], before, rest)
        ledger.keep_all(read[stays], left[stays], compress(table["lang"].to_pylist(), stays.tolist()))
        for place in np.flatnonzero(stays).tolist() if side == HELDOUT else ():
            if ledger.wants(HELDOUT, ids[place]):
                ledger.sample(HELDOUT, ids[place], rests[place] if place in rests else beginning(place))
        kept = _with_texts(table, rests)
        return (kept if stays.all() else filtered(kept, stays)), int(left[stays].sum())

    def _asked(self, known: NDArray[np.uint8], numbers: NDArray[np.int64]) -> list[int]:
        """The documents of this side of which it is not clear that they stay as they are."""
        asked = (known != OTHER_SIDE) if self._evaluation else (known != OTHER_SIDE) & (known != STAYS)
        if self._repeated:
            asked |= (known == STAYS) & np.isin(numbers, list(self._repeated))
        return np.flatnonzero(asked).tolist()

    def _verdict(self, table: pa.Table, place: int, known: int, repeated: set[int] | None) -> tuple[str | None, str | None]:
        """The rule that drops a document, or None; and its text where lines were taken out, or None."""
        if known >= FIRST_RULE:
            return self._task.rules[known - FIRST_RULE], None
        if not (self._evaluation or repeated):
            return OVERLAPS_HELDOUT if known == QUOTES else None, None
        document = table.slice(place, 1).to_pylist()[0]
        rule, left = self._rule(document, known, repeated)
        return rule, None if left["text"] == document["text"] else left["text"]

    def _rule(self, document: Document, known: int, repeated: set[int] | None) -> tuple[str | None, Document]:
        """The rule that drops a document, or None; and the document without what earlier ones said."""
        if self._evaluation and self._evaluation.found_in(document):
            return "contaminated", document
        if repeated:
            document = document | {"text": without(document["text"], repeated, self._passing.repeated)}
            if not says_something(document["text"], self._passing.repeated):
                return "only_repeated_text", document
        return OVERLAPS_HELDOUT if known == QUOTES else None, document


def _compared(begun: Begun, table: pa.Table, known: NDArray[np.uint8], numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What is known of the documents of a table after the comparison."""
    suspects = begun.among(numbers)
    if not suspects.size:
        return known
    places = np.searchsorted(numbers, suspects)
    documents = taken(table.select(COMPARED), places).to_pylist()
    quoting = begun.compare(zip(suspects.tolist(), documents, strict=True))
    known = known.copy()
    known[np.searchsorted(numbers, quoting)] = QUOTES
    return known


def _with_texts(table: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The table with other texts at some places."""
    if not texts:
        return table
    column = table["text"].to_pylist()
    for place, text in texts.items():
        column[place] = text
    return table.set_column(table.schema.get_field_index("text"), SCHEMA.field("text"), strings(column))


def _tables(task: Task, aside: Path | None) -> Iterator[tuple[pa.Table, NDArray[np.uint8], NDArray[np.int64]]]:
    """The row groups that hold documents of this side, with what is known of each document, and its number within the unit.

    Others are left out only where they are most, or where theirs were put aside: the text of those that stay would be copied
    once more.
    """
    known = np.frombuffer(task.known, dtype=np.uint8)
    begin = 0
    with ExitStack() as opened:
        file = None
        for group in task.unit.groups:
            here, numbers = known[begin : begin + group.rows], np.arange(begin, begin + group.rows)
            begin += group.rows
            mine = here != OTHER_SIDE
            if not mine.any():
                continue
            table = put_aside(aside, group) if aside else None
            if table is not None:
                here, numbers = here[mine], numbers[mine]
            else:
                file = file or opened.enter_context(open_shard(task.unit.path))
                table = read_group(file, group.number)
                if 2 * mine.sum() < group.rows:
                    table, here, numbers = filtered(table, mine), here[mine], numbers[mine]
            yield table, here, numbers
