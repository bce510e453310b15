"""The preference pairs as found: from the corpus's documentation and from files."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from lifecycle.ledger import Ledger, SourceLedger
from lifecycle.plots import plot
from lifecycle.preferences.files import file_pairs
from lifecycle.preferences.siblings import sibling_pairs
from lifecycle.preferences.table import RAW, Pair, write_pairs
from lifecycle.recipe.alignment import PreferenceSource, SiblingAnswers

logger = logging.getLogger(__name__)


def build_raw_preferences(corpus: Path, sources: tuple[PreferenceSource, ...], out: Path, run_dir: Path) -> dict[str, Any]:
    """Write `pairs.parquet` and `ledger.json`: the pairs of every source of the recipe, none where it names none.

    Raises:
        DataError: a source has nothing to give, or is damaged beyond its tolerance.
    """
    pairs: list[Pair] = []
    ledgers: list[SourceLedger] = []
    for source in sources:
        if isinstance(source, SiblingAnswers):
            made, accounts = sibling_pairs(corpus, source)
            ledgers += accounts
        else:
            made, account = file_pairs(source)
            ledgers.append(account)
        logger.info("%d pairs from %s", len(made), source.kind)
        pairs += made
    write_pairs(out / RAW, pairs)
    Ledger(sources=tuple(ledgers)).write(out)
    facts: dict[str, Any] = {"rows": len(pairs), "sources": dict(sorted(Counter(pair.source for pair in pairs).items()))}
    if not sources:
        facts["note"] = "The recipe names no preference source: every pair will be sampled from the SFT model."
        return facts
    with plot(run_dir, "pairs_by_source", "Preference pairs found") as axes:
        axes.barh(list(facts["sources"]), list(facts["sources"].values()))
        axes.set_xlabel("pairs")
    return facts
