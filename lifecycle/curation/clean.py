"""Stage `cleaned_corpora`: repair, language and quality of one source, unit by unit, each computed once."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from lifecycle import code_versions
from lifecycle.corpora.documents import iter_documents, open_shard, read_group, shard_name, shard_writer
from lifecycle.corpora.units import Unit, units
from lifecycle.curation.buffers import beginning_of, buffers_of, bytes_of
from lifecycle.curation.judge import Judged, judge
from lifecycle.curation.model import ModelRule
from lifecycle.curation.normalise import repaired
from lifecycle.curation.plots import plot_drops, plot_length_bins
from lifecycle.curation.quality import KEPT
from lifecycle.curation.removed_lines import write_removed
from lifecycle.curation.repair import around_difference_of
from lifecycle.curation.repeated_lines import Hashes, repeated_lines
from lifecycle.curation.sidecar import SidecarWriter, part_name, schema_of
from lifecycle.digests import digest_json
from lifecycle.errors import DataError
from lifecycle.ledger import EXCERPT_BYTES, Ledger, LedgerWriter, merge
from lifecycle.parallel import ordered_map
from lifecycle.recipe.base import identity
from lifecycle.recipe.cleaning import CleaningConfig
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import list_digests
from lifecycle.results import link, result

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
DOCUMENTS, SIDECAR = "documents.parquet", "statistics.parquet"


@dataclass(frozen=True)
class Rules:
    """What is done to every document of a source."""

    source: str
    config: CurationConfig
    repeated: Hashes
    model: ModelRule | None


def clean_source(
    raw: Path,
    source_name: str,
    config: CurationConfig,
    out: Path,
    run_dir: Path,
    cache: Path | None = None,
    model: ModelRule | None = None,
) -> dict:
    """Clean the documents of one source into `out`, in the order in which they were read.

    Writes shards, `ledger.json`, and `statistics/` with a row for every document read (see `sidecar`).

    Args:
        cache: directory of results by content, kept between runs; None keeps none.
        model: one more rule, where the recipe has a quality model.

    Raises:
        DataError: no document passed the rules.
    """
    out.mkdir(parents=True, exist_ok=True)
    if cache is None:
        with TemporaryDirectory(dir=out.parent, prefix=".results-") as temporary:
            return clean_source(raw, source_name, config, out, run_dir, Path(temporary), model)
    repeated = _repeated(raw, config)
    write_removed(out, repeated)
    rules = Rules(source_name, config, repeated, model)
    clean = partial(_clean_unit, rules, _settings(rules), cache)
    accounts, reused, said = [], 0, time.monotonic()
    shards = 0
    (out / "statistics").mkdir()
    for number, (entry, was_there) in enumerate(ordered_map(clean, units(raw), config.workers, config.executor)):
        reused += was_there
        accounts += Ledger.read(entry).sources
        link(entry / SIDECAR, out / part_name(number))
        if (entry / DOCUMENTS).exists():
            link(entry / DOCUMENTS, out / shard_name(shards))
            shards += 1
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            read, kept = sum(each.read for each in accounts), sum(each.kept for each in accounts)
            logger.info("%s: %s documents judged, %s kept", source_name, f"{read:,}", f"{kept:,}")
    account = merge(accounts)
    if account.kept == 0:
        raise DataError(f"source {source_name}: no document passed the curation rules: {account.dropped} of {account.read}")
    Ledger(sources=(account,)).write(out)
    plot_drops(run_dir, source_name, account.read, account.dropped)
    plot_length_bins(run_dir, {"read": account.lengths_read, "kept": account.lengths_kept})
    return {
        "rows": account.kept,
        "characters": account.characters_kept,
        "read": account.read,
        "dropped": account.dropped,
        "changed": account.changed,
        "kept_share": round(account.kept / account.read, 4),
        "units": len(accounts),
        "units_reused": reused,
    }


def _settings(rules: Rules) -> str:
    """Digest of all that decides what becomes of a unit besides its bytes."""
    cleaning = {key: value for key, value in identity(rules.config).items() if key in CleaningConfig.model_fields}
    return digest_json(
        {
            "code": code_versions.CLEANED_CORPORA,
            "source": rules.source,
            "config": cleaning,
            "lists": list_digests(rules.config),
            "repeated": sorted(rules.repeated),
            "model": [rules.model.digest(), rules.model.min_score] if rules.model else None,
        }
    )


def _clean_unit(rules: Rules, settings: str, cache: Path, unit: Unit) -> tuple[Path, bool]:
    """The entry of a unit: its kept documents (no file where none is), its sidecar and its ledger."""

    def make(directory: Path) -> None:
        ledger = LedgerWriter(rules.source)
        columns = schema_of([each.category for each in rules.config.blocklists], rules.model is not None)
        with open_shard(unit.path) as file, SidecarWriter(directory / SIDECAR, columns) as sidecar:
            writer = None
            try:
                for number in range(unit.first, unit.last):
                    table = read_group(file, number)
                    judged = judge(table, rules.config, rules.repeated, rules.model)
                    ids = table["id"].to_pylist()
                    _account(table, ids, judged, ledger)
                    sidecar.add(ids, judged.languages, judged.decided.tolist(), judged.columns)
                    if judged.kept.num_rows:
                        writer = writer or shard_writer(directory / DOCUMENTS)
                        writer.write_table(judged.kept)
            finally:
                if writer:
                    writer.close()
        Ledger(sources=(ledger.close(),)).write(directory)

    return result(cache, unit.key(settings), make)


def _account(table: pa.Table, ids: Sequence[str], judged: Judged, ledger: LedgerWriter) -> None:
    """Enter a table of documents into the ledger."""
    raw, texts = buffers_of(table["text"]), buffers_of(judged.repaired)
    read, left = judged.characters, judged.characters_left
    for change in judged.changes:
        before, after = change.before, change.after
        if after is None and ledger.wants(change.rule, ids[change.document]):
            before, after = around_difference_of(bytes_of(*raw, change.document), bytes_of(*texts, change.document))
        ledger.change(change.rule, ids[change.document], before or "", after or "", change.removed)
    kept = judged.decided == KEPT
    ledger.keep_all(read[kept], left[kept], compress(judged.languages, kept.tolist()))
    for document in np.flatnonzero(~kept).tolist():
        decision = str(judged.decided[document])
        excerpt = beginning_of(*raw, document, EXCERPT_BYTES) if ledger.wants(decision, ids[document]) else ""
        ledger.drop(decision, ids[document], excerpt, int(left[document]), int(read[document]))


def _repeated(raw: Path, config: CurationConfig) -> Hashes:
    if config.repeated_lines is None:
        return frozenset()
    return repeated_lines(
        lambda: (document["text"] for document in iter_documents(raw, ["text"])),
        partial(repaired, config),
        config.repeated_lines,
        config.workers,
    )
