"""Stage `raw_corpora`: one source's documents into shards, with the account of what could not be read."""

import logging
import time
from pathlib import Path

from lifecycle.corpora import (
    csv_files,
    hf_datasets,
    html,
    json_files,
    jsonl,
    parquet,
    python_docs,
    python_topics,
    text,
    warc,
)
from lifecycle.corpora.documents import Document, DocumentWriter
from lifecycle.corpora.records import Damage, Notes, Records, document_id
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter, SourceLedger
from lifecycle.plots import plot
from lifecycle.recipe.corpora import (
    CsvSource,
    DatasetsSource,
    HtmlSource,
    JsonlSource,
    JsonSource,
    ParquetSource,
    PythonDocsSource,
    PythonTopicsSource,
    Source,
    TextSource,
    WarcSource,
)

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0


def read_source(source: Source, out: Path, run_dir: Path, workers: int) -> dict:
    """Read every document of `source` into `out` (shards and `ledger.json`).

    Raises:
        DataError: nothing could be read, or more than `source.tolerance` of the records are damaged.
    """
    notes = Notes()
    damaged = 0
    ledger = LedgerWriter(source.name)
    lengths: list[int] = []
    seen: set[int] = set()
    said = time.monotonic()
    with DocumentWriter(out) as writer:
        for record in records(source, notes, workers):
            if isinstance(record, Damage):
                ledger.drop(record.rule, record.locator, record.excerpt)
                damaged += not record.expected
                continue
            _make_unique(record, seen, ledger)
            before = record["text"]
            record["text"] = _without_surrogates(before, record["id"], ledger)
            writer.add(record)
            ledger.keep(record["text"], before=before)
            lengths.append(len(record["text"]))
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                logger.info(
                    "%s: %s documents, %s characters read", source.name, f"{ledger.read:,}", f"{writer.characters:,}"
                )
    ledger.notes["encodings"] = dict(sorted(notes.encodings.items()))
    ledger.notes |= dict(sorted(notes.counts.items()))
    account = ledger.close()
    _check(source, account, damaged)
    Ledger(sources=(account,)).write(out)
    _plot_lengths(run_dir, lengths)
    return {
        "rows": account.kept,
        "characters": writer.characters,
        "damaged": account.dropped,
        "encodings": ledger.notes["encodings"],
    }


def records(source: Source, notes: Notes, workers: int) -> Records:
    """What the reader of this kind of source gives, documents and damage, in order."""
    match source:
        case PythonDocsSource():
            return python_docs.read(source, workers)
        case PythonTopicsSource():
            return python_topics.read(source)
        case TextSource():
            return text.read(source, notes)
        case JsonlSource():
            return jsonl.read(source, notes)
        case JsonSource():
            return json_files.read(source, notes)
        case CsvSource():
            return csv_files.read(source, notes)
        case HtmlSource():
            return html.read(source, notes)
        case WarcSource():
            return warc.read(source, notes)
        case DatasetsSource():
            return hf_datasets.read(source)
        case ParquetSource():
            return parquet.read(source, notes)


def _make_unique(document: Document, seen: set[int], ledger: LedgerWriter) -> None:
    """Give a record whose own identifier came before in this source (numbers that restart in every file) another id."""
    original = document["id"]
    number = 1
    while (key := int(document["id"][:16], 16)) in seen:
        number += 1
        document["id"] = document_id(document["source"], f"{original}#{number}")
    seen.add(key)
    if number > 1:
        ledger.notes["repeated_ids"] = ledger.notes.get("repeated_ids", 0) + 1
        if document["group"] == original:
            document["group"] = document["id"]


def _without_surrogates(value: str, id: str, ledger: LedgerWriter) -> str:
    """Lone surrogates have no UTF-8 form: they become U+FFFD, and the document is counted as changed."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        repaired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        ledger.change("lone_surrogates", id, value.encode("utf-8", "replace").decode("utf-8"), repaired)
        return repaired
    return value


def _check(source: Source, account: SourceLedger, damaged: int) -> None:
    read, kept, dropped = account.read, account.kept, account.dropped
    first = next(((rule, entries[0]) for rule, entries in account.samples.items() if rule in dropped), None)
    example = f"; for example {first[0]} at {first[1].id}: {first[1].before[:120]}" if first else ""
    if read and damaged / read > source.tolerance:
        raise DataError(
            f"source {source.name}: {damaged} of {read} records are damaged ({dropped}), more than its tolerance of "
            f"{source.tolerance:.1%}{example}. Mend the files or raise `tolerance`."
        )
    if kept == 0:
        raise DataError(f"source {source.name}: no document could be read ({read} records, dropped {dropped}){example}")


def _plot_lengths(run_dir: Path, lengths: list[int]) -> None:
    import numpy as np

    with plot(run_dir, "document_lengths", "Documents by length") as axes:
        axes.hist(lengths, bins=list(np.geomspace(1, max(10, max(lengths)), 50)))
        axes.set_xscale("log")
        axes.set_xlabel("characters")
        axes.set_ylabel("documents")
