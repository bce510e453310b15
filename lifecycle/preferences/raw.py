"""The preference pairs as found: from the corpus's documentation and from files."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from lifecycle.ledger import Ledger, SourceLedger
from lifecycle.plots import plot
from lifecycle.preferences.files import file_preferences
from lifecycle.preferences.siblings import sibling_pairs
from lifecycle.preferences.table import LABELS, RAW, Labelled, Pair, write_labels, write_pairs
from lifecycle.recipe.alignment import PreferenceSource, SiblingAnswers

logger = logging.getLogger(__name__)


def build_raw_preferences(corpus: Path, sources: tuple[PreferenceSource, ...], out: Path, run_dir: Path) -> dict[str, Any]:
    """Write `pairs.parquet`, `labels.parquet` (answers that were wanted or not) and `ledger.json`, from every source of the
    recipe; none where it names none.

    Raises:
        DataError: a source has nothing to give, or is damaged beyond its tolerance.
    """
    pairs: list[Pair] = []
    labels: list[Labelled] = []
    ledgers: list[SourceLedger] = []
    for source in sources:
        if isinstance(source, SiblingAnswers):
            made, accounts = sibling_pairs(corpus, source)
            ledgers += accounts
        else:
            made, labelled, account = file_preferences(source)
            labels += labelled
            ledgers.append(account)
        logger.info("%d pairs from %s", len(made), source.kind)
        pairs += made
    write_pairs(out / RAW, pairs)
    write_labels(out / LABELS, labels)
    Ledger(sources=tuple(ledgers)).write(out)
    counts = Counter(entry.source for entry in (*pairs, *labels))
    facts: dict[str, Any] = {"rows": len(pairs), "labels": len(labels), "sources": dict(sorted(counts.items()))}
    if not sources:
        facts["note"] = "The recipe names no preference source: every pair will be sampled from the SFT model."
        return facts
    with plot(run_dir, "pairs_by_source", "Preferences found") as axes:
        axes.barh(list(facts["sources"]), list(facts["sources"].values()))
        axes.set_xlabel("pairs and labelled answers")
    return facts
