"""Which training documents share a passage with held-out text, known before the training side is written.

Suspects (`suspects`) are compared with a slice of the held-out side at a time. What they share is kept by the content of
slice and unit, so that only pairs of which either is new are compared; and the unit is written by what is to become of its
documents, not by which held-out text decides it: new held-out text changes those units only that lose a document to it.
"""

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
from lifecycle.corpora.documents import check_rows, open_shard
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


@dataclass(frozen=True)
class Comparing:
    """How documents are compared, and where it is kept what they share."""

    passage: OverlapConfig
    repeated: RepeatedTextConfig
    cache: Path

    def rows(self, comparison: Comparison) -> list[dict[str, Any]]:
        """For each document that shares a passage with the slice: its number, where the first one begins in it (characters),
        and the row for the table of overlaps, which names the first text of the slice that holds this passage."""
        entry = entry_of(self.cache, self._identity(comparison))
        payload = load(entry)
        kept = orjson.loads(payload.tobytes()) if payload is not None else {}
        wanted = dict(zip(comparison.suspects.documents, comparison.reasons, strict=True))
        missing = [document for document, reason in wanted.items() if kept.get(str(document), {}).get("reason") != reason]
        if missing:
            rows = {each["document"]: each for each in self._compare(comparison, missing)}
            kept |= {str(number): {"reason": wanted[number], "found": rows.get(number)} for number in missing}
            save(entry, orjson.dumps(kept))
        found = (kept[str(document)]["found"] for document in wanted)
        return [each for each in found if each]

    def places(self, comparison: Comparison) -> list[tuple[int, int]]:
        """The same without the rows."""
        return [(each["document"], each["begin"]) for each in self.rows(comparison)]

    def _identity(self, comparison: Comparison) -> str:
        """A slice that grew at its end has the same entry: of each document that says what it holds for."""
        settings = f"shared {VERSION} {self.passage.model_dump_json()} {self.repeated.model_dump_json()}"
        return f"{settings}\n\n{content_of(comparison.held[:1])}\n\n{comparison.unit.content}"

    def _compare(self, comparison: Comparison, documents: Sequence[int]) -> Iterable[dict[str, Any]]:
        index, ids = _indexed(comparison.held, self.passage.words, self.passage.han_characters)
        repeated = comparison.repeated.places() if comparison.repeated else {}
        for number, document in rows_of(comparison.unit, documents, ["id", "source", "text"]):
            if number in repeated:
                document["text"] = without(document["text"], repeated[number], self.repeated)
            shared = index.first(document["text"])
            if shared:
                row = overlap_row(document, shared, (HELDOUT, ids[shared.text]), index.texts[shared.text])
                yield {"document": number, "begin": shared.here[0], "row": row}


@lru_cache(maxsize=1)
def _indexed(held: Slice, words: int, han: int) -> tuple[PassageIndex, list[str]]:
    """The passages of a slice, and the ids of its texts; neighbouring comparisons are with the same slice."""
    ids: list[str] = []
    texts: list[str] = []
    for group in held:
        with open_shard(group.path) as file:
            table = file.read_row_group(group.number, columns=["id", "text"])
            check_rows(table.num_rows, group.rows)
        ids += table["id"].to_pylist()
        texts += table["text"].to_pylist()
    return PassageIndex(texts, OverlapConfig(words=words, han_characters=han)), ids


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
        for each, places in zip(comparisons, ordered_map(comparing.places, comparisons, *spread), strict=True):
            first = self._first[each.task]
            for document, begin in places:
                if document not in first or begin < first[document][0]:
                    first[document] = begin, each
        _indexed.cache_clear()  # with one worker it would lie here while the training side is written
        self.tasks = [_marked(task, list(first)) for task, first in zip(tasks, self._first, strict=True)]

    def table(self, task: int, documents: NDArray[np.int64]) -> pa.Table:
        """The rows of some documents of a unit that share a passage, in order: the first passage of each."""
        first = self._first[task]
        rows = {
            (each["document"], comparison.suspects.slice): each["row"]
            for comparison in {id(each): each for _, each in first.values()}.values()
            for each in self._comparing.rows(comparison)
        }
        return rows_table([rows[number, first[number][1].suspects.slice] for number in documents.tolist()], SCHEMA)


def _marked(task: Task, quoting: list[int]) -> Task:
    if not quoting:
        return task
    known = np.frombuffer(task.known, dtype=np.uint8).copy()
    known[quoting] = QUOTES
    return replace(task, known=known.tobytes())
