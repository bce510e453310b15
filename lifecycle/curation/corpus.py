"""Stage `corpus`: all sources together, each text once, split before anything is trained, free of what measures it."""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle import code_versions
from lifecycle.corpora.documents import shard_name
from lifecycle.corpora.paths import expand
from lifecycle.corpora.units import units_of
from lifecycle.curation.cluster_samples import ClusterSamples
from lifecycle.curation.comparing import Comparing, forget_slices
from lifecycle.curation.contamination import HELDOUT, HITS_PER_DOCUMENT
from lifecycle.curation.contamination import SCHEMA as OVERLAP_SCHEMA
from lifecycle.curation.duplicates import RULES, Duplicates, find_duplicates, write_duplicates
from lifecycle.curation.first_said import mark_repeated
from lifecycle.curation.index import Index, index_documents
from lifecycle.curation.minhash import threshold
from lifecycle.curation.plots import plot_collision_curve, plot_drops
from lifecycle.curation.protected import Protected, protect
from lifecycle.curation.put_aside import aside_in
from lifecycle.curation.quoted import Quoting
from lifecycle.curation.sides import (
    BY_FILE,
    CONTAMINATION,
    DOCUMENTS,
    FIRST_RULE,
    OTHER_SIDE,
    QUOTING,
    STAYS,
    Passed,
    Passing,
    Side,
    Task,
    pass_unit,
)
from lifecycle.digests import digest_json
from lifecycle.errors import DataError
from lifecycle.evaluation.texts import read_evaluation_texts
from lifecycle.ledger import Ledger, SourceLedger, merge
from lifecycle.parallel import ordered_map
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig
from lifecycle.results import link

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
SIDES: tuple[Side, Side] = ("heldout", "train")


def build_corpus(
    cleaned: Mapping[str, Path], curation: CurationConfig, out: Path, run_dir: Path, cache: Path | None = None
) -> dict[str, Any]:
    """Deduplicate over all sources or within each, put whole groups aside for evaluation, and keep these out of training.

    Writes `train/` and `heldout/` (document shards, sources by name, documents in their order), `duplicates.parquet` (id,
    source, kept_id, kept_source, rule, similarity), `contamination.parquet` where the recipe names evaluation files,
    `heldout_overlaps.parquet` (the first shared passage of each document) unless switched off, `largest_clusters.json` (for
    a person to look at) and `ledger.json`.

    The order decides which rule counts a document: duplicates (`find_duplicates` says which of a cluster stays), then
    `contaminated`, then repeated lines or paragraphs are taken out (`only_repeated_text` where nothing is left), then
    training documents that share a passage with held-out ones (`overlaps_heldout`). Deduplication runs before the split, so
    that no held-out document has a near-duplicate in training (in its own source, where that is the scope).

    Args:
        cache: directory of signatures and results by content, kept between runs; None computes all of them.

    Raises:
        DataError: one side of the split is empty, or a file of `decontaminate` or `against` cannot be read.
    """
    cleaned = dict(sorted(cleaned.items()))  # the fingerprint knows the sources by name, not in the recipe's order
    spread = (curation.workers, curation.executor)
    with _work_directory(run_dir / "work") as work:
        cache = cache or work / "kept"
        made = (curation.minhash, curation.heldout_overlap)
        index = index_documents(cleaned, _against(curation.against), curation.heldout, *made, cache, work, *spread)
        logger.info("corpus: signatures of %s documents, %s of them cached", f"{len(index.ids):,}", f"{index.cached:,}")
        dropped = find_duplicates(index, curation.deduplication_scope, cache, work, *spread)
        logger.info("corpus: %s duplicates found", f"{len(dropped):,}")
        write_duplicates(out / "duplicates.parquet", index, dropped)
        written = _Written(cleaned, index, dropped, curation, work, cache)
        written.write(out)
    accounts = written.accounts()
    Ledger(sources=tuple(accounts)).write(out)
    rules = sum((Counter(account.dropped) for account in accounts), Counter())
    plot_drops(run_dir, "all sources", index.own, rules)
    plot_collision_curve(run_dir, curation.minhash.bands, curation.minhash.rows, threshold(curation.minhash))
    return written.facts(accounts) | {
        "dropped": dict(sorted(rules.items())),
        "sources": {each.source: {"read": each.read, "kept": each.kept, **each.notes["split"]} for each in accounts},
    }


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


class _Written:
    """Both sides of the corpus: first the held-out one, so that its passages are known when the training side passes."""

    def __init__(
        self,
        cleaned: Mapping[str, Path],
        index: Index,
        dropped: Duplicates,
        curation: CurationConfig,
        work: Path,
        cache: Path,
    ) -> None:
        self._curation, self._work, self._cache = curation, work, cache
        self._samples = ClusterSamples(index, dropped)
        self._evaluation = _evaluation_items(curation, work)
        self._tasks = _tasks(index, dropped)
        self._parts: dict[str, list[SourceLedger]] = {name: [] for name in cleaned}
        self.reused = 0

    def write(self, out: Path) -> None:
        """Write both sides, the tables of overlaps and the samples of clusters."""
        if self._curation.repeated_text.unit != "none":
            self._mark_repeated()
        held = [each.entry for each in self._write_side("heldout", out, None)]
        comparing = self._comparing()
        quoting = self._quoting(held, comparing) if comparing else None
        passed = self._write_side("train", out, comparing)
        forget_slices()
        train = [each.entry for each in passed]
        parts = [part for parts in self._parts.values() for part in parts]
        rows = {side: sum(part.notes["split"][side] for part in parts) for side in SIDES}
        if not all(rows.values()):
            raise DataError(_one_sided(self._curation.heldout, rows["train"], rows["heldout"]))
        if self._evaluation:
            _write_overlaps(_tables_of(entry / CONTAMINATION for entry in held + train), out / CONTAMINATION)
        if quoting:
            for number, each in enumerate(passed):
                quoting.see(number, each.places)
            overlaps = [
                quoting.table(number, np.load(entry / QUOTING))
                for number, entry in enumerate(train)
                if (entry / QUOTING).exists()
            ]
            _write_overlaps(overlaps, out / "heldout_overlaps.parquet")
        self._samples.write(out, self._cache)

    def accounts(self) -> list[SourceLedger]:
        """The account of every source."""
        return [merge(parts) for parts in self._parts.values()]

    def facts(self, accounts: Sequence[SourceLedger]) -> dict[str, Any]:
        """Counts of both sides, and what was looked for and found of the evaluation items."""
        found: dict[str, Any] = {}
        for side, prefix in (("train", ""), ("heldout", "heldout_")):
            for note, name in (("split", "rows"), ("split_characters", "characters")):
                found[prefix + name] = sum(account.notes[note][side] for account in accounts)
        found |= {"units": sum(map(len, self._parts.values())), "units_reused": self.reused}
        if self._evaluation:
            by_file = sum((Counter(account.notes[BY_FILE]) for account in accounts), Counter())
            found["contamination"] = self._evaluation.overlaps().facts(by_file)
        return found

    def _write_side(self, side: Side, out: Path, comparing: Comparing | None) -> list[Passed]:
        """Link the documents of one side to `out`; what its units gave."""
        (out / side).mkdir(parents=True)
        tasks = self._tasks[side]
        aside = aside_in(self._work) if side == HELDOUT else None
        passing = Passing(side, self._evaluation, self._curation.repeated_text, comparing, aside)
        one = partial(pass_unit, passing, passing.settings(code_versions.CORPUS), self._cache)
        passed = ordered_map(one, tasks, self._curation.workers, self._curation.executor)
        found, shards, said = [], 0, time.monotonic()
        for task, each in zip(tasks, passed, strict=True):
            found.append(each)
            entry = each.entry
            self.reused += each.was_there
            self._parts[task.source] += Ledger.read(entry).sources
            if (entry / DOCUMENTS).exists():
                link(entry / DOCUMENTS, out / side / shard_name(shards))
                shards += 1
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                logger.info("corpus: %s of %s units of the %s side written", len(found), len(tasks), side)
        return found

    def _mark_repeated(self) -> None:
        """Tell the units of both sides what earlier documents say; held-out ones come first."""
        curation = self._curation
        spread = (curation.workers, curation.executor)
        tasks = [task for side in SIDES for task in self._tasks[side]]
        marked = mark_repeated(
            tasks,
            curation.repeated_text,
            curation.deduplication_scope,
            self._evaluation,
            self._cache,
            self._work,
            *spread,
        )
        held = len(self._tasks["heldout"])
        self._tasks = {"heldout": marked[:held], "train": marked[held:]}

    def _comparing(self) -> Comparing | None:
        passage = self._curation.heldout_overlap
        return Comparing(passage, self._curation.repeated_text, self._cache) if passage else None

    def _quoting(self, held: list[Path], comparing: Comparing) -> Quoting:
        """Mark the training documents that share a passage with a held-out text."""
        shards = [path for entry in held if (path := entry / DOCUMENTS).exists()]
        spread = (self._curation.workers, self._curation.executor)
        found = Quoting(self._tasks["train"], shards, comparing, self._work, *spread)
        self._tasks["train"] = found.tasks
        return found


def _evaluation_items(curation: CurationConfig, work: Path) -> Protected | None:
    if not curation.decontaminate:
        return None
    items = read_evaluation_texts(curation.decontaminate, "curation.decontaminate")
    texts = [(item.file, item.item, item.text) for item in items]
    return protect(work / "evaluation.parquet", texts, digest_json(texts), curation.overlap, HITS_PER_DOCUMENT)


def _tasks(index: Index, dropped: Duplicates) -> dict[Side, list[Task]]:
    """For each side the units of all sources that hold a document of it; what is known of a document goes with its unit."""
    present, places = np.unique(dropped.rules, return_inverse=True)
    rules = tuple(RULES[rule] for rule in present.tolist())
    states = np.full(index.own, STAYS, dtype=np.uint8)
    states[dropped.documents] = FIRST_RULE + places
    found: dict[Side, list[Task]] = {side: [] for side in SIDES}
    first = 0
    for source, groups in index.row_groups.items():
        for unit in units_of(groups):
            state = states[first : first + unit.rows]
            for side in SIDES:
                mine = index.held[first : first + unit.rows] == (side == "heldout")
                if mine.any():
                    known = np.where(mine, state, np.uint8(OTHER_SIDE)).tobytes()
                    found[side].append(Task(source, unit, first, known, rules))
            first += unit.rows
    return found


def _tables_of(paths: Iterable[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:  # `read_table` takes six times as long, and most of these hold nothing
            if file.metadata.num_rows:
                yield file.read()


def _write_overlaps(tables: Iterable[pa.Table], out: Path) -> None:
    none = pa.Table.from_batches([], OVERLAP_SCHEMA)  # `empty_table` imports pandas
    pq.write_table(pa.concat_tables([none, *tables]), out, compression="zstd")


def _one_sided(heldout: HeldoutConfig, train: int, held: int) -> str:
    return (
        f"curation.heldout: share {heldout.share} with seed {heldout.seed} leaves {train} training and {held} "
        "held-out documents. Whole groups (files, modules) go to one side: change share or seed, add text, or read "
        "text files with `document: line` or `document: paragraph`"
    )
