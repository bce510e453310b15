"""Documents that quote what will measure the model: evaluation items, or the recipe's own held-out text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.arrow import rows_table
from lifecycle.corpora.documents import Document
from lifecycle.curation.passages import PassageIndex, Shared

COLUMNS = ("id", "source", "file", "item", "text", "document_context", "item_context")
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
CONTEXT_CHARACTERS = 120
"""Shown on either side of a shared passage."""
SHARED_CHARACTERS = 2000
HITS_PER_DOCUMENT = 20
HELDOUT = "heldout"


@dataclass
class Overlaps:
    """Looks for the passages of protected texts in documents, and keeps what it found.

    Attributes:
        index: the protected texts.
        labels: file and item of each of them.
        hits_per_document: passages listed of one document at most.
    """

    index: PassageIndex
    labels: Sequence[tuple[str, str]]
    hits_per_document: int = HITS_PER_DOCUMENT
    rows: list[dict[str, str]] = field(default_factory=list)
    documents_by_file: Counter[str] = field(default_factory=Counter)

    @cached_property
    def _enough(self) -> int | None:
        """Passages of a document that say all which is noted: of texts of one file, those that are listed."""
        return self.hits_per_document if len({file for file, _ in self.labels}) == 1 else None

    def found_in(self, document: Document) -> bool:
        """Whether the document shares a passage; the passages are noted."""
        shared = self.index.find(document["text"], self._enough)
        self.documents_by_file.update({self.labels[each.text][0] for each in shared})
        for each in shared[: self.hits_per_document]:
            self.rows.append(overlap_row(document, each, self.labels[each.text], self.index.texts[each.text]))
        return bool(shared)

    def write(self, path: Path) -> None:
        """Write what was found as Parquet: document id, source, file and item, the shared text, and both contexts."""
        pq.write_table(rows_table(self.rows, SCHEMA), path, compression="zstd")

    def facts(self, documents_by_file: Mapping[str, int]) -> dict[str, Any]:
        """Texts and passages looked for, texts too short for one, and documents found by file."""
        return {
            "texts": len(self.labels),
            "too_short": self.index.silent,
            "passages": self.index.passages,
            "documents_by_file": dict(sorted(documents_by_file.items())),
        }


def overlap_row(document: Document, shared: Shared, label: tuple[str, str], protected: str) -> dict[str, str]:
    """A row of `SCHEMA`: what a document shares with a protected text, of which file and item are given."""
    text, (file, item), (begin, end) = document["text"], label, shared.here
    return {
        "id": document["id"],
        "source": document["source"],
        "file": file,
        "item": item,
        "text": text[begin : min(end, begin + SHARED_CHARACTERS)],
        "document_context": _context(text, shared.here),
        "item_context": _context(protected, shared.there),
    }


def _context(text: str, place: tuple[int, int]) -> str:
    begin, end = place
    end = min(end, begin + SHARED_CHARACTERS)
    return text[max(0, begin - CONTEXT_CHARACTERS) : end + CONTEXT_CHARACTERS]
