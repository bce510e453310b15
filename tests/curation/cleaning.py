"""Documents on disk for the curation stages, without a reader."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lifecycle.corpora.documents import DocumentWriter, iter_documents
from lifecycle.corpora.records import document_id
from lifecycle.ledger import Ledger, LedgerWriter, SourceLedger


def write_documents(
    directory: Path, texts: Iterable[str], source: str = "sample", language: str = "en", groups: Iterable[str] = ()
) -> Path:
    """A directory like that of `raw_corpora`: one document a text, in order, each its own group unless told."""
    ledger = LedgerWriter(source)
    names = list(groups)
    with DocumentWriter(directory) as writer:
        for number, text in enumerate(texts):
            identifier = document_id(source, str(number))
            group = names[number] if names else identifier
            row = {"id": identifier, "text": text, "source": source, "url": None, "lang": language, "group": group}
            writer.add(row | {"meta": json.dumps({})})
            ledger.keep(text)
    Ledger(sources=(ledger.close(),)).write(directory)
    return directory


def rows(directory: Path) -> list[dict[str, Any]]:
    """All documents of a directory."""
    return list(iter_documents(directory))


def texts(directory: Path) -> list[str]:
    """The texts of all documents of a directory."""
    return [document["text"] for document in iter_documents(directory)]


def account_of(directory: Path, source: str = "sample") -> SourceLedger:
    """The ledger of one source."""
    return next(entry for entry in Ledger.read(directory).sources if entry.source == source)
