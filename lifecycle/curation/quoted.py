"""Which training documents share a passage with held-out text, known before the training side is written.

Suspects (`suspects`) are compared with a slice of the held-out side at a time. What they share is kept by the content of
slice and unit, so that only pairs of which either is new are compared; and the unit is written by what is to become of its
documents, not by which held-out text decides it: new held-out text changes those units only that lose a document to it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.arrow import rows_table
from lifecycle.corpora.documents import Document
from lifecycle.corpora.units import Unit, content_of, rows_of
from lifecycle.curation.contamination import HELDOUT, SCHEMA, overlap_row
from lifecycle.curation.passages import PassageIndex
from lifecycle.curation.repeated import without
from lifecycle.curation.sealed import entry_of, load, load_table, save, save_table
from lifecycle.curation.sides import QUOTES, STAYS, Repeated, Task
from lifecycle.curation.suspects import HeldAnchors, Slice, Suspects, slices_of
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import OverlapConfig, RepeatedTextConfig

VERSION = 2
"""Raised when the same two texts share something else."""


@dataclass(frozen=True)
class Comparison:
    """Some documents of a unit, by their number, and the slice with which they may share a passage."""

    task: int
    suspects: Suspects
    held: Slice
    unit: Unit
    repeated: Repeated | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of each document what decides the result besides its unit. Where lines were taken out, passages came together
        that no anchor stands for, and any text of the slice may hold one."""
        if self.repeated is None:
            return self.suspects.reasons
        every = xxhash.xxh3_128_hexdigest(f"{self.repeated.digest} {content_of(self.held)}".encode())
        return tuple(f"{reason} {every}" for reason in self.suspects.reasons)

    def texts(self, documents: Iterable[int]) -> set[int]:
        """Numbers in the slice of the texts with which some documents may share a passage."""
        if self.repeated is not None:
            return set(range(sum(group.rows for group in self.held)))
        texts = dict(zip(self.suspects.documents, self.suspects.texts, strict=True))
        return {text for document in documents for text in texts[document]}


Places = list[tuple[int, int]]
"""Documents that share a passage with a slice, by number, and where the first one begins in each (characters)."""
Rows = dict[str, dict[str, str]]
"""Of each such document, by its number in decimal, the row for the table of overlaps, which names the first text of the
slice that holds this passage."""


@dataclass(frozen=True)
class Remaining:
    """Documents of a comparison of which nothing is known, and numbers of texts of the slice, in order, with which they may
    share a passage."""

    comparison: Comparison
    documents: list[int]
    texts: tuple[int, ...]


@dataclass(frozen=True)
class Comparing:
    """How documents are compared, and where it is kept what they share."""

    passage: OverlapConfig
    repeated: RepeatedTextConfig
    cache: Path

    def known(self, comparison: Comparison) -> tuple[Places, list[int]]:
        """The places that are kept of a comparison, and the documents of which nothing is."""
        kept, _ = self._kept(comparison)
        found: Places = []
        missing: list[int] = []
        for document, reason in zip(comparison.suspects.documents, comparison.reasons, strict=True):
            holds_for, begin = kept.get(str(document), (None, None))
            if holds_for != reason:
                missing.append(document)
            elif begin is not None:
                found.append((document, begin))
        return found, missing

    def places(self, remaining: Remaining) -> Places:
        """The places of documents of which nothing was known, which are kept from now on."""
        comparison, documents = remaining.comparison, remaining.documents
        kept, stored = self._kept(comparison)
        rows: Rows = orjson.loads(stored)
        begins: dict[int, int] = {}
        for document, begin, row in self._compare(comparison, documents, remaining.texts):
            begins[document], rows[str(document)] = begin, row
        reasons = dict(zip(comparison.suspects.documents, comparison.reasons, strict=True))
        kept |= {str(document): (reasons[document], begins.get(document)) for document in documents}
        save(self._entry(comparison), orjson.dumps(kept) + b"\n" + orjson.dumps(rows))
        return list(begins.items())

    def rows(self, comparison: Comparison) -> Rows:
        """The rows of a comparison, also of documents that were once suspected for something else."""
        missing = self.known(comparison)[1]
        if missing:  # what was kept was damaged meanwhile
            self.places(Remaining(comparison, missing, tuple(sorted(comparison.texts(missing)))))
        return orjson.loads(self._kept(comparison)[1])

    def _kept(self, comparison: Comparison) -> tuple[dict[str, Any], bytes]:
        """Of documents by number what each was suspected for and the place that was found, or none; and the rows as they are
        stored, which are most of it and seldom asked for."""
        payload = load(self._entry(comparison))
        known, _, rows = (b"{}\n{}" if payload is None else payload.tobytes()).partition(b"\n")
        return orjson.loads(known), rows

    def _entry(self, comparison: Comparison) -> Path:
        """A slice that grew at its end has the same entry: of each document that says what it holds for."""
        settings = f"shared {VERSION} {self.passage.model_dump_json()} {self.repeated.model_dump_json()}"
        return entry_of(self.cache, f"{settings}\n\n{content_of(comparison.held[:1])}\n\n{comparison.unit.content}")

    def table_entry(self, wanted: Sequence[tuple[int, Comparison]]) -> Path:
        """Where the table of some documents of a unit is kept, each with the comparison that tells its row."""
        comparisons = {id(each): each for _, each in wanted}
        entries = {key: self._entry(each).name for key, each in comparisons.items()}
        reasons = {key: dict(zip(each.suspects.documents, each.reasons, strict=True)) for key, each in comparisons.items()}
        what = [f"{document} {entries[id(each)]} {reasons[id(each)][document]}" for document, each in wanted]
        return entry_of(self.cache, "\n".join(["table", *what]))

    def _compare(
        self, comparison: Comparison, documents: Sequence[int], texts: tuple[int, ...]
    ) -> Iterator[tuple[int, int, dict[str, str]]]:
        index, ids = _indexed(comparison.held, texts, self.passage.words, self.passage.han_characters)
        repeated = comparison.repeated.places() if comparison.repeated else {}
        for number, document in rows_of(comparison.unit, documents, ["id", "source", "text"]):
            if number in repeated:
                document["text"] = without(document["text"], repeated[number], self.repeated)
            shared = index.first(document["text"])
            if shared:
                row = overlap_row(document, shared, (HELDOUT, ids[shared.text]), index.texts[shared.text])
                yield number, shared.here[0], row


@lru_cache(maxsize=1)
def _indexed(held: Slice, texts: tuple[int, ...], words: int, han: int) -> tuple[PassageIndex, list[str]]:
    """The passages of some texts of a slice, and their ids; neighbouring comparisons are with the same ones."""
    rows: list[Document] = []
    begin = 0
    for group in held:
        here = texts[bisect_left(texts, begin) : bisect_left(texts, begin + group.rows)]
        if here:
            rows += [row for _, row in rows_of(Unit((group,)), [text - begin for text in here], ["id", "text"])]
        begin += group.rows
    index = PassageIndex((row["text"] for row in rows), OverlapConfig(words=words, han_characters=han))
    return index, [row["id"] for row in rows]


class Quoting:
    """The training documents that share a passage with a held-out text.

    Attributes:
        tasks: the units of the training side, with these documents marked.
    """

    def __init__(
        self, tasks: Sequence[Task], held: Iterable[Path], comparing: Comparing, work: Path, workers: int, executor: Executor
    ) -> None:
        spread = (workers, executor)
        slices = slices_of(held)
        anchors = HeldAnchors.of(slices, comparing.passage, comparing.cache, work / "heldout-anchors.npz", *spread)
        suspects = partial(anchors.suspects, comparing.passage, comparing.cache)
        staying = [(task.unit, (np.frombuffer(task.known, dtype=np.uint8) == STAYS).tobytes()) for task in tasks]
        comparisons = [
            Comparison(number, each, slices[each.slice], task.unit, task.repeated)
            for number, (task, found) in enumerate(zip(tasks, ordered_map(suspects, staying, *spread), strict=True))
            for each in found
        ]
        # Slice by slice, so that a worker indexes each of them once.
        comparisons.sort(key=lambda each: (each.suspects.slice, each.task))
        self._comparing = comparing
        self._first: list[dict[int, tuple[int, Comparison]]] = [{} for _ in tasks]
        missing: list[tuple[Comparison, list[int]]] = []
        for each, (places, unknown) in zip(comparisons, ordered_map(comparing.known, comparisons, *spread), strict=True):
            self._see(each, places)
            if unknown:
                missing.append((each, unknown))
        remaining = _remaining(missing)
        for each, places in zip(remaining, ordered_map(comparing.places, remaining, *spread), strict=True):
            self._see(each.comparison, places)
        _indexed.cache_clear()  # with one worker it would lie here while the training side is written
        self.tasks = [_marked(task, list(first)) for task, first in zip(tasks, self._first, strict=True)]

    def _see(self, comparison: Comparison, places: Places) -> None:
        first = self._first[comparison.task]
        for document, begin in places:
            # Comparisons are not seen slice by slice: of two slices that hold the passage, the first one is named.
            where = begin, comparison.suspects.slice
            if document not in first or where < (first[document][0], first[document][1].suspects.slice):
                first[document] = begin, comparison

    def table(self, task: int, documents: NDArray[np.int64]) -> pa.Table:
        """The rows of some documents of a unit that share a passage, in order: the first passage of each."""
        wanted = [(document, self._first[task][document][1]) for document in documents.tolist()]
        entry = self._comparing.table_entry(wanted)
        found = load_table(entry)
        if found is not None:
            return found
        rows = {each.suspects.slice: self._comparing.rows(each) for each in {id(each): each for _, each in wanted}.values()}
        table = rows_table([rows[each.suspects.slice][str(document)] for document, each in wanted], SCHEMA)
        save_table(entry, table)
        return table


def _remaining(missing: Sequence[tuple[Comparison, list[int]]]) -> list[Remaining]:
    """What remains to be compared. All comparisons with a slice look among the same texts, so that it is indexed once, and
    these are no more than any of them needs: new text is suspected for few of the old ones."""
    texts: dict[int, set[int]] = defaultdict(set)
    for each, documents in missing:
        texts[each.suspects.slice] |= each.texts(documents)
    wanted = {number: tuple(sorted(some)) for number, some in texts.items()}
    return [Remaining(each, documents, wanted[each.suspects.slice]) for each, documents in missing]


def _marked(task: Task, quoting: list[int]) -> Task:
    if not quoting:
        return task
    known = np.frombuffer(task.known, dtype=np.uint8).copy()
    known[quoting] = QUOTES
    return replace(task, known=known.tobytes())
