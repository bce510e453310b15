"""Stage `cleaned_corpora`: repair, language, quality and exact duplicates of one source."""

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lifecycle.corpora.documents import Document, DocumentWriter, iter_documents
from lifecycle.curation.blocklists import blocked_category
from lifecycle.curation.duplicates import text_digest
from lifecycle.curation.language import language_of
from lifecycle.curation.normalise import normalise, repaired
from lifecycle.curation.plots import plot_drops, plot_lengths
from lifecycle.curation.quality import broken_rule
from lifecycle.curation.repeated_lines import Hashes, repeated_lines
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


@dataclass(frozen=True)
class Judged:
    """One document after every rule that looks at it alone."""

    document: Document
    before: str
    changes: tuple[tuple[str, str, str], ...]
    """(rule, text before, text after), excerpts around the first difference."""
    dropped: str | None
    digest: bytes


def clean_source(raw: Path, source_name: str, config: CurationConfig, out: Path, run_dir: Path) -> dict:
    """Clean the documents of one source into `out` (shards and `ledger.json`), in the order in which they were read.

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
    with DocumentWriter(out) as writer:
        for batch in ordered_map(partial(_judge_all, config, repeated), tasks, config.workers):
            for item in batch:
                before.append(len(item.before))
                if _settle(item, seen, ledger):
                    writer.add(item.document)
                    after.append(len(item.document["text"]))
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


def _settle(item: Judged, seen: set[bytes], ledger: LedgerWriter) -> bool:
    """Enter one document into the ledger; True when it is kept."""
    document = item.document
    for rule, old, new in item.changes:
        ledger.change(rule, document["id"], old, new)
    if item.dropped is None and item.digest in seen:
        ledger.drop("exact_duplicate", document["id"], item.before)
        return False
    if item.dropped is not None:
        ledger.drop(item.dropped, document["id"], item.before)
        return False
    seen.add(item.digest)
    ledger.keep(document["text"], before=item.before)
    return True


def _repeated(raw: Path, config: CurationConfig) -> Hashes:
    if config.repeated_lines is None:
        return frozenset()
    return repeated_lines(
        lambda: (document["text"] for document in iter_documents(raw, ["text"])),
        partial(repaired, config),
        config.repeated_lines,
        config.workers,
    )


def _judge_all(config: CurationConfig, repeated: Hashes, documents: list[Document]) -> list[Judged]:
    return [judge(document, config, repeated) for document in documents]


def judge(document: Document, config: CurationConfig, repeated: Hashes = frozenset()) -> Judged:
    """Every rule that needs one document only: changes, then language, quality, blocklists; the first broken rule counts."""
    before = text = document["text"]
    changes = []
    for rule, changed in normalise(before, config, repeated):
        changes.append((rule, *_around_difference(text, changed)))
        text = changed
    language = language_of(text, document["lang"], config.min_language_score)
    dropped = "language" if language not in config.languages else broken_rule(statistics(text), config.quality)
    if dropped is None and (category := blocked_category(text, config.blocklists)):
        dropped = f"blocklist:{category}"
    cleaned = document | {"text": text, "lang": language}
    return Judged(cleaned, before, tuple(changes), dropped, text_digest(text))


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
