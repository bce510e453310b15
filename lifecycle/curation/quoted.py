"""Which training documents share a passage with held-out text.

Suspects (`suspects`) are compared with a slice of the held-out side at a time. What they share is kept by the content of
slice and unit (`comparing`), so that only pairs of which either is new are compared; and the unit is written by what is to
become of its documents, not by which held-out text decides it: new held-out text changes those units only that lose a
document to it.

With the last slice documents are compared where the unit is written, if it is: their texts are at hand there. It is the only
slice of a small corpus.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.corpora.arrow import rows_table
from lifecycle.curation.comparing import Comparing, Comparison, Places, Remaining, forget_slices
from lifecycle.curation.contamination import SCHEMA
from lifecycle.curation.sealed import load_table, save_table
from lifecycle.curation.sides import STAYS, Task
from lifecycle.curation.suspects import HeldAnchors, slices_of
from lifecycle.parallel import Executor, ordered_map


class Quoting:
    """The training documents that share a passage with a held-out text.

    Attributes:
        tasks: the units of the training side, with these documents marked, and with what remains to be compared.
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
        earlier = [each for each in remaining if each.comparison.suspects.slice + 1 < len(slices)]
        for each, places in zip(earlier, ordered_map(comparing.places, earlier, *spread), strict=True):
            self._see(each.comparison, places)
        forget_slices()
        last = {each.comparison.task: each for each in remaining[len(earlier) :]}
        self.tasks = [
            replace(task.quoting(first), remaining=last.get(number))
            for number, (task, first) in enumerate(zip(tasks, self._first, strict=True))
        ]

    def see(self, task: int, places: Places) -> None:
        """Take note of what the remaining comparison of a task gave."""
        remaining = self.tasks[task].remaining
        if remaining:
            self._see(remaining.comparison, places)

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
