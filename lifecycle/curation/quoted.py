"""Which training documents share a passage with held-out text, known before the training side is written.

Suspects (`suspects`) are compared with a slice of the held-out side at a time. What they share is kept by the content of
slice and unit, so that only pairs of which either is new are compared; and the unit is written by what is to become of its
documents, not by which held-out text decides it: new held-out text changes those units only that lose a document to it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from lifecycle.curation.sealed import entry_of, load, save
from lifecycle.curation.sides import QUOTES, STAYS, Repeated, Task
from lifecycle.curation.suspects import HeldAnchors, Slice, Suspects, slices_of
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import OverlapConfig, RepeatedTextConfig

VERSION = 1
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


Found = dict[str, Any]
"""Of a document that shares a passage with a slice: its number, where the first one begins in it (characters), and the row
for the table of overlaps, which names the first text of the slice that holds this passage."""
Places = list[tuple[int, int]]
"""The same without the rows."""


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

    def rows(self, comparison: Comparison) -> list[Found]:
        """What the documents of a comparison share with the slice."""
        found, missing = self._known(comparison)
        texts = tuple(sorted(comparison.texts(missing)))
        return found + self._compared(Remaining(comparison, missing, texts)) if missing else found

    def known(self, comparison: Comparison) -> tuple[Places, list[int]]:
        """The places that are kept of a comparison, and the documents of which nothing is."""
        found, missing = self._known(comparison)
        return _places(found), missing

    def places(self, remaining: Remaining) -> Places:
        """The places of documents of which nothing was known, which are kept from now on."""
        return _places(self._compared(remaining))

    def _known(self, comparison: Comparison) -> tuple[list[Found], list[int]]:
        kept = self._kept(comparison)
        found: list[Found] = []
        missing: list[int] = []
        for document, reason in zip(comparison.suspects.documents, comparison.reasons, strict=True):
            entry = kept.get(str(document), {})
            if entry.get("reason") != reason:
                missing.append(document)
            elif entry["found"]:
                found.append(entry["found"])
        return found, missing

    def _compared(self, remaining: Remaining) -> list[Found]:
        comparison = remaining.comparison
        rows = {each["document"]: each for each in self._compare(comparison, remaining.documents, remaining.texts)}
        reasons = dict(zip(comparison.suspects.documents, comparison.reasons, strict=True))
        made = {str(number): {"reason": reasons[number], "found": rows.get(number)} for number in remaining.documents}
        save(self._entry(comparison), orjson.dumps(self._kept(comparison) | made))
        return list(rows.values())

    def _kept(self, comparison: Comparison) -> dict[str, Any]:
        payload = load(self._entry(comparison))
        return orjson.loads(payload.tobytes()) if payload is not None else {}

    def _entry(self, comparison: Comparison) -> Path:
        """A slice that grew at its end has the same entry: of each document that says what it holds for."""
        settings = f"shared {VERSION} {self.passage.model_dump_json()} {self.repeated.model_dump_json()}"
        return entry_of(self.cache, f"{settings}\n\n{content_of(comparison.held[:1])}\n\n{comparison.unit.content}")

    def _compare(self, comparison: Comparison, documents: Sequence[int], texts: tuple[int, ...]) -> Iterable[Found]:
        index, ids = _indexed(comparison.held, texts, self.passage.words, self.passage.han_characters)
        repeated = comparison.repeated.places() if comparison.repeated else {}
        for number, document in rows_of(comparison.unit, documents, ["id", "source", "text"]):
            if number in repeated:
                document["text"] = without(document["text"], repeated[number], self.repeated)
            shared = index.first(document["text"])
            if shared:
                row = overlap_row(document, shared, (HELDOUT, ids[shared.text]), index.texts[shared.text])
                yield {"document": number, "begin": shared.here[0], "row": row}


def _places(found: Iterable[Found]) -> Places:
    return [(each["document"], each["begin"]) for each in found]


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
        first = self._first[task]
        rows = {
            (each["document"], comparison.suspects.slice): each["row"]
            for comparison in {id(each): each for _, each in first.values()}.values()
            for each in self._comparing.rows(comparison)
        }
        return rows_table([rows[number, first[number][1].suspects.slice] for number in documents.tolist()], SCHEMA)


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
