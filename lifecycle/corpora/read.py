"""Stage `raw_corpora`: one source's documents into shards, with the account of what could not be read."""

import logging
import time
from array import array
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lifecycle import code_versions
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
from lifecycle.corpora.documents import Document, DocumentWriter, shard_name, shards
from lifecycle.corpora.paths import Files
from lifecycle.corpora.pieces import Piece, pieces
from lifecycle.corpora.records import Damage, Notes, Records, document_id
from lifecycle.corpora.snapshot import Snapshot, snapshot, unchanged
from lifecycle.curation.plots import plot_length_bins
from lifecycle.digests import digest_json
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter, SourceLedger, merge
from lifecycle.parallel import ordered_map
from lifecycle.recipe.corpora import (
    CsvSource,
    DatasetsSource,
    FileSource,
    HtmlSource,
    JsonlSource,
    JsonSource,
    ParquetSource,
    PythonDocsSource,
    PythonTopicsSource,
    Source,
    TextSource,
    WarcSource,
    read_identity,
)
from lifecycle.results import link, result

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
EXAMPLE = 240
"""Characters of the first damage that the error of a source shows."""
DAMAGED = "damaged_records"
"""Note of the ledger: records that count against the source's tolerance."""


def read_source(
    source: Source, out: Path, run_dir: Path, workers: int, cache: Path | None = None, taken: Snapshot | None = None
) -> dict:
    """Read every document of `source` into `out` (shards and `ledger.json`).

    Args:
        cache: directory of results by content, kept between runs: what files gave before; None keeps none.
        taken: the source's snapshot, where it is known already.

    Raises:
        DataError: nothing could be read, or more than `source.tolerance` of the records are damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    with unchanged(source), TemporaryDirectory(dir=out.parent, prefix=".results-") as temporary:
        accounts, reused, said = [], 0, time.monotonic()
        number = 0
        for entry, was_there in _entries(source, Path(temporary), workers, cache, taken):
            reused += was_there
            accounts += Ledger.read(entry).sources
            for shard in shards(entry) if accounts[-1].kept else ():
                link(shard, out / shard_name(number))
                number += 1
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                read = sum(each.read for each in accounts)
                characters = sum(each.characters_kept for each in accounts)
                logger.info("%s: %s documents, %s characters read", source.name, f"{read:,}", f"{characters:,}")
    account = merge(accounts)
    _check(source, account, account.notes[DAMAGED])
    Ledger(sources=(account,)).write(out)
    plot_length_bins(run_dir, {"documents": account.lengths_kept})
    return {
        "rows": account.kept,
        "characters": account.characters_kept,
        "damaged": account.dropped,
        "encodings": account.notes["encodings"],
        "pieces": len(accounts),
        "pieces_reused": reused,
    }


def _entries(source: Source, temporary: Path, workers: int, cache: Path | None, taken: Snapshot | None):
    """The entry of every piece of the source, in order, and whether it was there."""
    if not isinstance(source, FileSource):
        notes = Notes()
        _write(source, records(source, notes, workers), notes, temporary)
        yield temporary, False
        return
    known = taken or (snapshot(source, cache) if cache else None)
    read = partial(_read_piece, source, cache or temporary, _settings(source))
    yield from ordered_map(read, pieces(source, known), workers)


def _settings(source: FileSource) -> str:
    """What decides the documents of a file besides its name and content."""
    fields = {key: value for key, value in read_identity(source).items() if key not in ("path", "licence")}
    return digest_json({"code": code_versions.RAW_CORPORA, "source": fields})


def _read_piece(source: Source, cache: Path, settings: str, piece: Piece) -> tuple[Path, bool]:
    def make(directory: Path) -> None:
        notes = Notes()
        _write(source, records(source, notes, 1, piece.files), notes, directory)
        piece.check_unchanged(source.name)

    return result(cache, piece.key(settings), make)


def _write(source: Source, given: Records, notes: Notes, directory: Path) -> None:
    """Documents into shards, and the ledger."""
    ledger = LedgerWriter(source.name)
    damaged = 0
    seen: set[int] = set()
    lengths_read, lengths_kept = array("q"), array("q")
    with DocumentWriter(directory) as writer:
        for record in given:
            if isinstance(record, Damage):
                ledger.drop(record.rule, record.locator, record.excerpt)
                damaged += not record.expected
                continue
            _make_unique(record, seen, ledger)
            before = record["text"]
            try:
                writer.add(record)
            except UnicodeEncodeError:
                record["text"] = _without_surrogates(before, record["id"], ledger)
                writer.add(record)
            lengths_read.append(len(before))
            lengths_kept.append(len(record["text"]))
    ledger.keep_all(np.asarray(lengths_read), np.asarray(lengths_kept), ())
    ledger.notes |= {"encodings": dict(sorted(notes.encodings.items())), DAMAGED: damaged}
    ledger.notes |= dict(sorted(notes.counts.items()))
    Ledger(sources=(ledger.close(),)).write(directory)


def records(source: Source, notes: Notes, workers: int, files: Files | None = None) -> Records:
    """What the reader of this kind of source gives of some files, or of all, documents and damage, in order."""
    match source:
        case PythonDocsSource():
            return python_docs.read(source, workers)
        case PythonTopicsSource():
            return python_topics.read(source)
        case TextSource():
            return text.read(source, notes, files)
        case JsonlSource():
            return jsonl.read(source, notes, files)
        case JsonSource():
            return json_files.read(source, notes, files)
        case CsvSource():
            return csv_files.read(source, notes, files)
        case HtmlSource():
            return html.read(source, notes, files)
        case WarcSource():
            return warc.read(source, notes, files)
        case DatasetsSource():
            return hf_datasets.read(source)
        case ParquetSource():
            return parquet.read(source, notes, files)


def _make_unique(document: Document, seen: set[int], ledger: LedgerWriter) -> None:
    """Give a record whose own identifier came before in its file another id."""
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
    repaired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ledger.change("lone_surrogates", id, value.encode("utf-8", "replace").decode("utf-8"), repaired)
    return repaired


def _check(source: Source, account: SourceLedger, damaged: int) -> None:
    read, kept, dropped = account.read, account.kept, account.dropped
    first = next(((rule, entries[0]) for rule, entries in account.samples.items() if rule in dropped), None)
    example = f"; for example {first[0]} at {first[1].id}: {first[1].before[:EXAMPLE]}" if first else ""
    if read and damaged / read > source.tolerance:
        raise DataError(
            f"source {source.name}: {damaged} of {read} records are damaged ({dropped}), more than its tolerance of "
            f"{source.tolerance:.1%}{example}. Mend the files or raise `tolerance`."
        )
    if kept == 0:
        raise DataError(f"source {source.name}: no document could be read ({read} records, dropped {dropped}){example}")
