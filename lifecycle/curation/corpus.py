"""Stage `corpus`: all sources together, each text once, split before anything is trained."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.documents import DocumentWriter, iter_documents
from lifecycle.curation.duplicates import Duplicate, Index, find_duplicates, index_documents
from lifecycle.curation.plots import plot_collision_curve, plot_drops
from lifecycle.curation.split import is_heldout
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter, SourceLedger
from lifecycle.recipe.corpora import HeldoutConfig, MinHashConfig

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
DUPLICATES = pa.schema([(name, pa.string()) for name in ("id", "source", "kept_id", "kept_source", "rule")])


def build_corpus(
    cleaned: dict[str, Path], minhash: MinHashConfig, heldout: HeldoutConfig, out: Path, run_dir: Path, workers: int
) -> dict[str, Any]:
    """Deduplicate over all sources, then put whole groups aside for evaluation.

    Writes `train/` and `heldout/` (document shards, sources by name, documents in their order), `duplicates.parquet` (id,
    source, kept_id, kept_source, rule) and `ledger.json`. Deduplication runs before the split, so that no held-out
    document has a near-duplicate in training. `find_duplicates` says which document of a cluster stays.

    Raises:
        DataError: one side of the split is empty.
    """
    cleaned = dict(sorted(cleaned.items()))  # the fingerprint knows the sources by name, not in the recipe's order
    index = index_documents(cleaned, minhash, workers)
    logger.info("corpus: %s documents of %d sources have signatures", f"{len(index.ids):,}", len(cleaned))
    dropped = find_duplicates(index, minhash)
    logger.info("corpus: %s duplicates found", f"{len(dropped):,}")
    _write_duplicates(out, index, dropped)
    facts, accounts = _write_split(cleaned, dropped, heldout, out)
    Ledger(sources=tuple(accounts)).write(out)
    rules = Counter(duplicate.rule for duplicate in dropped.values())
    plot_drops(run_dir, "all sources", len(index.ids), rules)
    plot_collision_curve(run_dir, minhash.bands, minhash.rows)
    return facts | {
        "dropped": dict(sorted(rules.items())),
        "sources": {each.source: {"read": each.read, "kept": each.kept, **each.notes["split"]} for each in accounts},
    }


def _write_duplicates(out: Path, index: Index, dropped: Mapping[int, Duplicate]) -> None:
    rows = [
        {
            "id": index.ids[position],
            "source": index.sources[position],
            "kept_id": index.ids[duplicate.kept],
            "kept_source": index.sources[duplicate.kept],
            "rule": duplicate.rule,
        }
        for position, duplicate in sorted(dropped.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DUPLICATES), out / "duplicates.parquet", compression="zstd")


def _write_split(
    cleaned: Mapping[str, Path], dropped: Mapping[int, Duplicate], heldout: HeldoutConfig, out: Path
) -> tuple[dict[str, Any], list[SourceLedger]]:
    accounts: list[SourceLedger] = []
    position = 0
    said = time.monotonic()
    with DocumentWriter(out / "train") as train, DocumentWriter(out / "heldout") as held:
        for name, directory in cleaned.items():
            ledger = LedgerWriter(name)
            sides = Counter({"heldout": 0, "train": 0})
            for document in iter_documents(directory):
                duplicate = dropped.get(position)
                position += 1
                if duplicate:
                    ledger.drop(duplicate.rule, document["id"], document["text"])
                    continue
                side = "heldout" if is_heldout(document["group"], heldout) else "train"
                sides[side] += 1
                (held if side == "heldout" else train).add(document)
                ledger.keep(document["text"])
                if time.monotonic() - said > PROGRESS_SECONDS:
                    said = time.monotonic()
                    logger.info("corpus: %s documents written", f"{train.rows + held.rows:,}")
            ledger.notes["split"] = dict(sides)
            accounts.append(ledger.close())
    if not train.rows or not held.rows:
        raise DataError(
            f"curation.heldout: share {heldout.share} with seed {heldout.seed} leaves {train.rows} training and {held.rows} "
            "held-out documents. Whole groups (files, modules) go to one side: change share or seed, add text, or read "
            "text files with `document: line` or `document: paragraph`"
        )
    return {
        "rows": train.rows,
        "characters": train.characters,
        "heldout_rows": held.rows,
        "heldout_characters": held.characters,
    }, accounts
