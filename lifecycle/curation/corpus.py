"""Stage `corpus`: all sources together, each text once, split before anything is trained."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.documents import DocumentWriter, iter_documents
from lifecycle.curation.minhash import clusters, signatures
from lifecycle.curation.plots import plot_collision_curve, plot_drops
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.parallel import chunks, ordered_map
from lifecycle.recipe.corpora import HeldoutConfig, MinHashConfig

logger = logging.getLogger(__name__)

TEXTS_PER_TASK = 1000
Kept = dict[int, tuple[int, str]]
"""Dropped document by index: the document kept in its place, and the rule."""


def build_corpus(
    cleaned: dict[str, Path], minhash: MinHashConfig, heldout: HeldoutConfig, out: Path, run_dir: Path, workers: int
) -> dict:
    """Deduplicate over all sources, then put whole groups aside for evaluation.

    Writes `train/` and `heldout/` (document shards), `duplicates.parquet` (id, source, kept_id, kept_source, rule) and
    `ledger.json`. Of a cluster the longest document is kept; of equally long ones that of the earlier source, then of
    the smaller id. Deduplication runs before the split, so that no held-out document has a near-duplicate in training.

    Raises:
        DataError: one side of the split is empty.
    """
    sources = list(cleaned)
    ids, lengths, ranks = _index(cleaned)
    logger.info("corpus: %s documents of %d sources; computing signatures", f"{len(ids):,}", len(sources))
    digests, signature = _fingerprints(cleaned, minhash, workers)
    best = _order(ids, lengths, ranks)
    exact = _exact_duplicates(digests, best)
    near = _near_duplicates(clusters(signature, minhash), best, exact)
    dropped: Kept = exact | near
    _write_duplicates(out, dropped, ids, ranks, sources)
    counts = _write(cleaned, dropped, heldout, out)
    plot_collision_curve(run_dir, minhash.bands, minhash.rows)
    return counts | _facts(out, run_dir, dropped)


def _texts(cleaned: dict[str, Path]) -> Iterator[str]:
    for directory in cleaned.values():
        yield from (document["text"] for document in iter_documents(directory, ["text"]))


def _index(cleaned: dict[str, Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    ids: list[str] = []
    lengths: list[int] = []
    ranks: list[int] = []
    for rank, directory in enumerate(cleaned.values()):
        for document in iter_documents(directory, ["id", "text"]):
            ids.append(document["id"])
            lengths.append(len(document["text"]))
            ranks.append(rank)
    return ids, np.array(lengths), np.array(ranks)


def _fingerprints(cleaned: dict[str, Path], config: MinHashConfig, workers: int) -> tuple[list[bytes], np.ndarray]:
    digests: list[bytes] = []
    parts: list[np.ndarray] = []
    tasks = chunks(_texts(cleaned), TEXTS_PER_TASK)
    for part_digests, part in ordered_map(partial(_fingerprint_all, config), tasks, workers):
        digests += part_digests
        parts.append(part)
    size = config.bands * config.rows
    return digests, np.concatenate(parts) if parts else np.empty((0, size), dtype=np.uint32)


def _fingerprint_all(config: MinHashConfig, texts: list[str]) -> tuple[list[bytes], np.ndarray]:
    return [hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest() for text in texts], signatures(texts, config)


def _order(ids: list[str], lengths: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Position of each document in the order of preference (0 is the best)."""
    order = sorted(range(len(ids)), key=lambda index: (-lengths[index], ranks[index], ids[index]))
    position = np.empty(len(ids), dtype=np.int64)
    position[order] = np.arange(len(ids))
    return position


def _exact_duplicates(digests: list[bytes], best: np.ndarray) -> Kept:
    keeper: dict[bytes, int] = {}
    for index, digest in enumerate(digests):
        if digest not in keeper or best[index] < best[keeper[digest]]:
            keeper[digest] = index
    return {index: (keeper[digest], "exact_duplicate") for index, digest in enumerate(digests) if keeper[digest] != index}


def _near_duplicates(cluster: np.ndarray, best: np.ndarray, exact: Kept) -> Kept:
    keeper: dict[int, int] = {}
    for index, root in enumerate(cluster):
        if root not in keeper or best[index] < best[keeper[root]]:
            keeper[int(root)] = index
    return {
        index: (keeper[int(root)], "near_duplicate")
        for index, root in enumerate(cluster)
        if keeper[int(root)] != index and index not in exact
    }


def _write_duplicates(out: Path, dropped: Kept, ids: list[str], ranks: np.ndarray, sources: list[str]) -> None:
    rows = [
        {
            "id": ids[index],
            "source": sources[ranks[index]],
            "kept_id": ids[kept],
            "kept_source": sources[ranks[kept]],
            "rule": rule,
        }
        for index, (kept, rule) in sorted(dropped.items())
    ]
    names = ("id", "source", "kept_id", "kept_source", "rule")
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out / "duplicates.parquet", compression="zstd")


def is_heldout(group: str, config: HeldoutConfig) -> bool:
    """Whether a group of documents is set aside: a hash of (seed, group) against the share, whatever else exists."""
    value = int.from_bytes(hashlib.sha256(f"{config.seed}\n{group}".encode()).digest()[:8], "big")
    return value < config.share * 2**64


def _write(cleaned: dict[str, Path], dropped: Kept, heldout: HeldoutConfig, out: Path) -> dict:
    """Write both sides of the split and the ledger, in the order of sources and documents."""
    accounts = []
    index = 0
    with DocumentWriter(out / "train") as train, DocumentWriter(out / "heldout") as held:
        for name, directory in cleaned.items():
            ledger = LedgerWriter(name)
            sides: Counter[str] = Counter()
            for document in iter_documents(directory):
                if index in dropped:
                    ledger.drop(dropped[index][1], document["id"], document["text"])
                else:
                    side = held if is_heldout(document["group"], heldout) else train
                    sides["heldout" if side is held else "train"] += 1
                    side.add(document)
                    ledger.keep(document["text"])
                index += 1
            ledger.notes["split"] = dict(sorted(sides.items()))
            accounts.append(ledger.close())
    if not train.rows or not held.rows:
        raise DataError(
            f"the held-out split leaves {train.rows} training and {held.rows} held-out documents; change "
            f"curation.heldout.share ({heldout.share}) or curation.heldout.seed, or add text with more groups"
        )
    Ledger(sources=tuple(accounts)).write(out)
    return {
        "rows": train.rows,
        "characters": train.characters,
        "heldout_rows": held.rows,
        "heldout_characters": held.characters,
    }


def _facts(out: Path, run_dir: Path, dropped: Kept) -> dict:
    ledger = Ledger.read(out)
    rules = Counter(rule for _, rule in dropped.values())
    total = ledger.sources[0].model_copy(
        update={
            "source": "all sources",
            "read": sum(account.read for account in ledger.sources),
            "kept": sum(account.kept for account in ledger.sources),
            "dropped": dict(rules),
        }
    )
    plot_drops(run_dir, total)
    return {
        "dropped": dict(sorted(rules.items())),
        "sources": {
            account.source: {"read": account.read, "kept": account.kept, **account.notes["split"]}
            for account in ledger.sources
        },
    }
