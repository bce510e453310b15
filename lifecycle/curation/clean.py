"""Stage `cleaned_corpora`: repair, language, quality and exact duplicates of one source."""

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.corpora.documents import Document, DocumentWriter, iter_documents
from lifecycle.curation.blocklists import blocked_category
from lifecycle.curation.duplicates import text_digest
from lifecycle.curation.language import language_of
from lifecycle.curation.normalise import normalise, repaired
from lifecycle.curation.plots import plot_drops, plot_lengths
from lifecycle.curation.quality import KEPT, decisions
from lifecycle.curation.repeated_lines import Hashes, repeated_lines
from lifecycle.curation.rewrite import c4_lines
from lifecycle.curation.sidecar import SidecarWriter
from lifecycle.curation.statistics import statistics
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.parallel import chunks, ordered_map
from lifecycle.recipe.corpora import CurationConfig

logger = logging.getLogger(__name__)

DOCUMENTS_PER_TASK = 500
PROGRESS_SECONDS = 5.0
CONTEXT, EXCERPT = 40, 200
"""Characters before the first change, and in all, of the sample of a repair."""


Change = tuple[str, str, str, int]
"""Rule, excerpts around the first difference before and after, characters removed."""


@dataclass(frozen=True)
class Judged:
    """One document after every rule that looks at it alone."""

    document: Document
    before: str
    changes: tuple[Change, ...]
    dropped: str | None
    digest: bytes
    counts: NDArray[np.int64]
    """Its row of the sidecar."""


def clean_source(raw: Path, source_name: str, config: CurationConfig, out: Path, run_dir: Path) -> dict:
    """Clean the documents of one source into `out`, in the order in which they were read.

    Writes shards, `ledger.json`, and `statistics.parquet` with a row for every document read (see `sidecar`).

    Raises:
        DataError: no document passed the rules.
    """
    ledger = LedgerWriter(source_name)
    seen: set[bytes] = set()
    before: list[int] = []
    after: list[int] = []
    said = time.monotonic()
    repeated = _repeated(raw, config)
    tasks = chunks(iter_documents(raw), DOCUMENTS_PER_TASK)
    with DocumentWriter(out) as writer, SidecarWriter(out) as sidecar:
        for batch in ordered_map(partial(_judge_all, config, repeated), tasks, config.workers):
            decided = []
            for item in batch:
                before.append(len(item.before))
                decided.append(_settle(item, seen, ledger) or KEPT)
                if decided[-1] == KEPT:
                    writer.add(item.document)
                    after.append(len(item.document["text"]))
            documents = [item.document for item in batch]
            ids, languages = [each["id"] for each in documents], [each["lang"] for each in documents]
            sidecar.add(ids, languages, decided, np.stack([item.counts for item in batch]))
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                logger.info("%s: %s documents judged, %s kept", source_name, f"{ledger.read:,}", f"{ledger.kept:,}")
    account = ledger.close()
    if account.kept == 0:
        raise DataError(f"source {source_name}: no document passed the curation rules: {account.dropped} of {account.read}")
    Ledger(sources=(account,)).write(out)
    plot_drops(run_dir, source_name, account.read, account.dropped)
    plot_lengths(run_dir, before, after)
    return {
        "rows": account.kept,
        "characters": writer.characters,
        "read": account.read,
        "dropped": account.dropped,
        "changed": account.changed,
        "kept_share": round(account.kept / account.read, 4),
    }


def _settle(item: Judged, seen: set[bytes], ledger: LedgerWriter) -> str | None:
    """Enter one document into the ledger; returns the rule that dropped it, or None when it is kept."""
    document = item.document
    for rule, old, new, removed in item.changes:
        ledger.change(rule, document["id"], old, new, removed)
    dropped = item.dropped or ("exact_duplicate" if item.digest in seen else None)
    if dropped:
        ledger.drop(dropped, document["id"], item.before, left=len(document["text"]))
        return dropped
    seen.add(item.digest)
    ledger.keep(document["text"], before=item.before, language=document["lang"])
    return None


def _judge_all(config: CurationConfig, repeated: Hashes, documents: list[Document]) -> list[Judged]:
    """Every rule that needs one document only: repairs, language, quality, blocklists; the first broken rule counts."""
    changed = [_repair(document, config, repeated) for document in documents]
    texts = [text for text, _ in changed]
    languages = [
        language_of(text, document["lang"], config.min_language_score)
        for text, document in zip(texts, documents, strict=True)
    ]
    counts = statistics(texts, languages)
    decided = decisions(counts, languages, config)
    rows = np.stack(list(counts.values()), axis=1)
    judged = []
    for place, document in enumerate(documents):
        text, changes = changed[place]
        language = languages[place]
        rule = "language" if language not in config.languages else str(decided[place])
        dropped = None if rule == KEPT else rule
        if dropped is None and (category := blocked_category(text, config.blocklists)):
            dropped = f"blocklist:{category}"
        if dropped is None and "c4_quality" in config.quality_sets and config.c4_quality.rewrite_lines:
            rewritten = c4_lines(text, language)
            if rewritten != text:
                changes = (*changes, _change("c4_lines", text, rewritten))
                text = rewritten
        cleaned = document | {"text": text, "lang": language}
        judged.append(Judged(cleaned, document["text"], changes, dropped, text_digest(text), rows[place]))
    return judged


def _repair(document: Document, config: CurationConfig, repeated: Hashes) -> tuple[str, tuple[Change, ...]]:
    """The text after every repair, and what each repair changed."""
    text = document["text"]
    changes = []
    for rule, changed in normalise(text, config, repeated):
        changes.append(_change(rule, text, changed))
        text = changed
    return text, tuple(changes)


def _repeated(raw: Path, config: CurationConfig) -> Hashes:
    if config.repeated_lines is None:
        return frozenset()
    return repeated_lines(
        lambda: (document["text"] for document in iter_documents(raw, ["text"])),
        partial(repaired, config),
        config.repeated_lines,
        config.workers,
    )


def _change(rule: str, old: str, new: str) -> Change:
    return rule, *_around_difference(old, new), len(old) - len(new)


def _around_difference(old: str, new: str) -> tuple[str, str]:
    """Both texts from a little before the first character in which they differ."""
    same, limit = 0, min(len(old), len(new))
    while same < limit:  # bisection over slices: a loop over the characters of a book takes longer than its cleaning
        middle = (same + limit + 1) // 2
        if old[same:middle] == new[same:middle]:
            same = middle
        else:
            limit = middle - 1
    start = max(0, same - CONTEXT)
    return old[start : start + EXCERPT], new[start : start + EXCERPT]
