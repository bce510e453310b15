"""What some documents share with a slice of the held-out side, kept by the content of both.

The first passage decides: where it begins in the document, and which text of the slice holds it first.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.documents import Document
from lifecycle.corpora.units import Unit, content_of, rows_of
from lifecycle.curation.contamination import HELDOUT, overlap_row
from lifecycle.curation.passages import PassageIndex
from lifecycle.curation.repeated import Repeated, without
from lifecycle.curation.sealed import entry_of, load, save
from lifecycle.curation.suspects import Slice, Suspects
from lifecycle.recipe.corpora import OverlapConfig, RepeatedTextConfig

VERSION = 2
"""Raised when the same two texts share something else."""
COMPARED = ("id", "source", "text")
"""Columns of documents that are compared."""


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
        kept, _ = self.kept(comparison)
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
        begun = Begun(self, remaining)
        begun.compare(rows_of(remaining.comparison.unit, remaining.documents, COMPARED))
        return begun.end()

    def rows(self, comparison: Comparison) -> Rows:
        """The rows of a comparison, also of documents that were once suspected for something else."""
        missing = self.known(comparison)[1]
        if missing:  # what was kept was damaged meanwhile
            self.places(Remaining(comparison, missing, tuple(sorted(comparison.texts(missing)))))
        return orjson.loads(self.kept(comparison)[1])

    def kept(self, comparison: Comparison) -> tuple[dict[str, Any], bytes]:
        """Of documents by number what each was suspected for and the place that was found, or none; and the rows as they are
        stored, which are most of it and seldom asked for."""
        payload = load(self.entry(comparison))
        known, _, rows = (b"{}\n{}" if payload is None else payload.tobytes()).partition(b"\n")
        return orjson.loads(known), rows

    def entry(self, comparison: Comparison) -> Path:
        """A slice that grew at its end has the same entry: of each document that says what it holds for."""
        settings = f"shared {VERSION} {self.passage.model_dump_json()} {self.repeated.model_dump_json()}"
        return entry_of(self.cache, f"{settings}\n\n{content_of(comparison.held[:1])}\n\n{comparison.unit.content}")

    def table_entry(self, wanted: Sequence[tuple[int, Comparison]]) -> Path:
        """Where the table of some documents of a unit is kept, each with the comparison that tells its row."""
        comparisons = {id(each): each for _, each in wanted}
        entries = {key: self.entry(each).name for key, each in comparisons.items()}
        reasons = {key: dict(zip(each.suspects.documents, each.reasons, strict=True)) for key, each in comparisons.items()}
        what = [f"{document} {entries[id(each)]} {reasons[id(each)][document]}" for document, each in wanted]
        return entry_of(self.cache, "\n".join(["table", *what]))


class Begun:
    """A comparison on its way: its documents come as they are read."""

    def __init__(self, comparing: Comparing, remaining: Remaining) -> None:
        self._comparing, self._remaining = comparing, remaining
        self._documents = np.array(remaining.documents)
        self._begins: dict[int, int] = {}
        self._rows: Rows = {}
        repeated = remaining.comparison.repeated
        self._repeated = repeated.places() if repeated else {}

    def among(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of its documents that are among those of some neighbouring ones of its side."""
        return self._documents[slice(*np.searchsorted(self._documents, [numbers[0], numbers[-1] + 1]))]

    def compare(self, documents: Iterable[tuple[int, Document]]) -> list[int]:
        """The numbers of those documents that share a passage, of some given by number with the columns `COMPARED`."""
        comparing, remaining = self._comparing, self._remaining
        held, passage = remaining.comparison.held, comparing.passage
        index, ids = _indexed(held, remaining.texts, passage.words, passage.han_characters)
        sharing: list[int] = []
        for number, document in documents:
            if number in self._repeated:
                document["text"] = without(document["text"], self._repeated[number], comparing.repeated)
            shared = index.first(document["text"])
            if shared:
                row = overlap_row(document, shared, (HELDOUT, ids[shared.text]), index.texts[shared.text])
                self._begins[number], self._rows[str(number)] = shared.here[0], row
                sharing.append(number)
        return sharing

    def end(self) -> Places:
        """The places of all its documents, which are kept from now on."""
        comparison = self._remaining.comparison
        kept, stored = self._comparing.kept(comparison)
        reasons = dict(zip(comparison.suspects.documents, comparison.reasons, strict=True))
        kept |= {str(document): (reasons[document], self._begins.get(document)) for document in self._remaining.documents}
        rows = orjson.loads(stored) | self._rows
        save(self._comparing.entry(comparison), orjson.dumps(kept) + b"\n" + orjson.dumps(rows))
        return list(self._begins.items())


def forget_slices() -> None:
    """Let go of the texts that the last comparison was with."""
    _indexed.cache_clear()


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
