"""Stage `corpus`: all sources together, each text once, split before anything is trained, free of what measures it."""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.documents import Document, DocumentWriter, iter_documents
from lifecycle.corpora.paths import expand
from lifecycle.curation.cluster_samples import ClusterSamples
from lifecycle.curation.contamination import HELDOUT, Overlaps, evaluation_overlaps, heldout_overlaps
from lifecycle.curation.duplicates import Duplicate, find_duplicates
from lifecycle.curation.index import Index, index_documents
from lifecycle.curation.plots import plot_collision_curve, plot_drops
from lifecycle.curation.repeated import RepeatedText
from lifecycle.curation.split import is_heldout
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
DUPLICATES = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "kept_id", "kept_source", "rule")] + [("similarity", pa.float64())]
)


def build_corpus(
    cleaned: Mapping[str, Path], curation: CurationConfig, out: Path, run_dir: Path, cache: Path | None = None
) -> dict[str, Any]:
    """Deduplicate over all sources, put whole groups aside for evaluation, and keep what measures out of what is trained.

    Writes `train/` and `heldout/` (document shards, sources by name, documents in their order), `duplicates.parquet` (id,
    source, kept_id, kept_source, rule, similarity), `contamination.parquet` where the recipe names evaluation files,
    `heldout_overlaps.parquet` (the first shared passage of each document) unless switched off, `largest_clusters.json` (for
    a person to look at) and `ledger.json`.

    The order decides which rule counts a document: duplicates (`find_duplicates` says which of a cluster stays), then
    `contaminated`, then repeated lines or paragraphs are taken out (`only_repeated_text` where nothing is left), then
    training documents that share a passage with held-out ones (`overlaps_heldout`). Deduplication runs before the split, so
    that no held-out document has a near-duplicate in training.

    Args:
        cache: directory of signatures by content, kept between runs; None computes all of them.

    Raises:
        DataError: one side of the split is empty, or a file of `decontaminate` or `against` cannot be read.
    """
    cleaned = dict(sorted(cleaned.items()))  # the fingerprint knows the sources by name, not in the recipe's order
    evaluation = evaluation_overlaps(curation.decontaminate, curation.overlap) if curation.decontaminate else None
    spread = (curation.workers, curation.executor)
    with _work_directory(run_dir / "signatures") as work:
        index = index_documents(cleaned, _against(curation.against), curation.minhash, cache, work, *spread)
        logger.info("corpus: signatures of %s documents, %s of them cached", f"{len(index.ids):,}", f"{index.cached:,}")
        dropped = find_duplicates(index, work, *spread)
    logger.info("corpus: %s duplicates found", f"{len(dropped):,}")
    _write_duplicates(out, index, dropped)
    passing = _Passing(cleaned, index, dropped, curation, evaluation)
    written = passing.write(out)
    accounts = [ledger.close() for ledger in passing.ledgers.values()]
    Ledger(sources=tuple(accounts)).write(out)
    rules = sum((Counter(account.dropped) for account in accounts), Counter())
    passing.samples.write(out)
    plot_drops(run_dir, "all sources", index.own, rules)
    plot_collision_curve(run_dir, curation.minhash.bands, curation.minhash.rows)
    facts = written | {
        "dropped": dict(sorted(rules.items())),
        "sources": {each.source: {"read": each.read, "kept": each.kept, **each.notes["split"]} for each in accounts},
    }
    return facts | ({"contamination": evaluation.facts()} if evaluation else {})


@contextmanager
def _work_directory(directory: Path) -> Iterator[Path]:
    """An empty directory beside the store, where every worker of a cluster finds it."""
    shutil.rmtree(directory, ignore_errors=True)  # what a killed run left
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _against(paths: tuple[str, ...]) -> list[Path]:
    """The document shards below the recipe's `against` paths."""
    found: list[Path] = []
    for number, path in enumerate(paths):
        what = f"curation.against[{number}]"
        shards = [
            file
            for file, _ in expand(path, what)
            if isinstance(file, Path) and file.name.startswith("documents-") and file.suffix == ".parquet"
        ]
        if not shards:
            raise DataError(f"{what}: no documents-*.parquet below {path!r}; name an artifact of corpus or cleaned_corpora")
        for shard in shards:
            missing = {"id", "text", "group"} - set(pq.read_schema(shard).names)
            if missing:
                raise DataError(f"{what}: {shard} has no column {sorted(missing)}; it is no shard of documents")
        found += shards
    return found


def _write_duplicates(out: Path, index: Index, dropped: Mapping[int, Duplicate]) -> None:
    rows = [
        {
            "id": index.ids[position],
            "source": index.sources[position],
            "kept_id": index.ids[duplicate.kept],
            "kept_source": index.sources[duplicate.kept],
            "rule": duplicate.rule,
            "similarity": duplicate.similarity,
        }
        for position, duplicate in sorted(dropped.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DUPLICATES), out / "duplicates.parquet", compression="zstd")


class _Passing:
    """The documents on their way: first the held-out side, so that its passages are known when the training side passes."""

    def __init__(
        self,
        cleaned: Mapping[str, Path],
        index: Index,
        dropped: Mapping[int, Duplicate],
        curation: CurationConfig,
        evaluation: Overlaps | None,
    ) -> None:
        self._cleaned = cleaned
        self._dropped = dropped
        self._curation = curation
        self._evaluation = evaluation
        self._repeated = RepeatedText(curation.repeated_text) if curation.repeated_text.unit != "none" else None
        self._heldout = [is_heldout(group, curation.heldout) for group in index.groups[: index.own]]
        self._protected: Overlaps | None = None
        self._said = time.monotonic()
        self.ledgers = {name: LedgerWriter(name) for name in cleaned}
        self.samples = ClusterSamples(index, dropped)
        for ledger in self.ledgers.values():
            ledger.notes |= {"split": {"heldout": 0, "train": 0}, "split_characters": {"heldout": 0, "train": 0}}

    def write(self, out: Path) -> dict[str, Any]:
        """Write both sides and the tables of overlaps; counts for the facts."""
        passage = self._curation.heldout_overlap
        held_texts: list[tuple[str, str]] = []
        with DocumentWriter(out / "heldout") as held:
            for document in self._side("heldout"):
                held.add(document)
                if passage:
                    held_texts.append((document["id"], document["text"]))
        self._protected = heldout_overlaps(held_texts, passage) if passage else None
        with DocumentWriter(out / "train") as train:
            for document in self._side("train"):
                train.add(document)
        if not train.rows or not held.rows:
            raise DataError(_one_sided(self._curation.heldout, train.rows, held.rows))
        if self._evaluation:
            self._evaluation.write(out / "contamination.parquet")
        if self._protected:
            self._protected.write(out / "heldout_overlaps.parquet")
        return {
            "rows": train.rows,
            "characters": train.characters,
            "heldout_rows": held.rows,
            "heldout_characters": held.characters,
        }

    def _side(self, side: str) -> Iterator[Document]:
        """The documents of one side that stay, as they stay; every one read is in its source's ledger afterwards."""
        position = -1
        for name, directory in self._cleaned.items():
            ledger = self.ledgers[name]
            for document in iter_documents(directory):
                position += 1
                if self._heldout[position] != (side == "heldout"):
                    continue
                self.samples.see(position, document["text"])
                before = document["text"]
                rule, document = self._judge(position, document)
                if rule:
                    ledger.drop(rule, document["id"], before)
                    continue
                changed = document["text"] != before
                if changed:
                    ledger.change(f"repeated_{self._curation.repeated_text.unit}", document["id"], before, document["text"])
                ledger.keep(document["text"], before if changed else None, document["lang"])
                ledger.notes["split"][side] += 1
                ledger.notes["split_characters"][side] += len(document["text"])
                if side == "heldout":
                    ledger.sample(HELDOUT, document["id"], document["text"])
                yield document
                if time.monotonic() - self._said > PROGRESS_SECONDS:
                    self._said = time.monotonic()
                    logger.info("corpus: %s documents of the %s side written", f"{ledger.kept:,} of {name}", side)

    def _judge(self, position: int, document: Document) -> tuple[str | None, Document]:
        """The rule that drops a document, or None; and the document without what earlier ones said."""
        duplicate = self._dropped.get(position)
        if duplicate:
            return duplicate.rule, document
        if self._evaluation and self._evaluation.found_in(document):
            return "contaminated", document
        if self._repeated:
            rest = self._repeated.rest(document["text"])
            if rest is not document["text"]:
                document = document | {"text": rest}
                if not self._repeated.says_something(rest):
                    return "only_repeated_text", document
        if self._protected and self._protected.found_in(document):
            return "overlaps_heldout", document
        return None, document


def _one_sided(heldout: HeldoutConfig, train: int, held: int) -> str:
    return (
        f"curation.heldout: share {heldout.share} with seed {heldout.seed} leaves {train} training and {held} "
        "held-out documents. Whole groups (files, modules) go to one side: change share or seed, add text, or read "
        "text files with `document: line` or `document: paragraph`"
    )
