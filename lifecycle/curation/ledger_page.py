"""The ledger of the whole way, raw → cleaned → corpus, as one HTML page that needs nothing beside it."""

import shutil
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle.charts import collision_chart, length_chart
from lifecycle.curation.account import STAGES, Way
from lifecycle.curation.cluster_samples import read_clusters
from lifecycle.curation.ledger_plots import write_plots
from lifecycle.curation.ledger_tables import (
    Sample,
    cleaning_settings,
    corpus_settings,
    ledger_rows,
    limits,
    rule_totals,
    stage_rows,
    stage_samples,
    write_tables,
)
from lifecycle.curation.minhash import threshold
from lifecycle.differences import differences, shared
from lifecycle.pages import environment
from lifecycle.recipe.recipe import Recipe

TEMPLATES = Path(__file__).parent
PAGE = "ledger.html"
SAMPLES_SHOWN = 3
"""Of each rule of each source; `ledger_samples.parquet` has all of them."""
HITS_SHOWN = 20


@dataclass(frozen=True)
class Hits:
    """Documents that share a passage with protected text: how many, by file, and some with both texts."""

    documents: int
    by_file: Mapping[str, int]
    shown: tuple[Mapping[str, Any], ...]


def write_ledger(recipe: Recipe, found: Mapping[str, Way], corpus: Path, directory: Path) -> Path:
    """Write `ledger.html`, `ledger.parquet`, `ledger_samples.parquet` and `plots/` into `directory`; the page's path.

    What is there already is replaced as a whole; a reader sees the old files or the new.

    Args:
        found: the account of every source (`account.ways`).
        corpus: directory of the corpus.

    Raises:
        DataError: the corpus has no readable table of clusters.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}.tmp")
    fresh.mkdir()
    try:
        write_tables(found, fresh)
        write_plots(found, fresh)
        (fresh / PAGE).write_text(render(recipe, found, corpus), encoding="utf-8")
        for path in sorted(fresh.rglob("*")):
            if path.is_file():
                target = directory / path.relative_to(fresh)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return directory / PAGE


def render(recipe: Recipe, found: Mapping[str, Way], corpus: Path) -> str:
    """The page's HTML."""
    minhash = recipe.curation.minhash
    template = environment(TEMPLATES, autoescape=True, differences=differences, shared=shared).get_template(
        "ledger.html.jinja"
    )
    return template.render(
        recipe=recipe,
        totals=_totals(found),
        sources=[_source(recipe, name, way) for name, way in found.items()],
        rules=rule_totals(ledger_rows(found)),
        settings=cleaning_settings(recipe.curation) | corpus_settings(recipe.curation),
        languages=_total(way.total.languages for way in found.values()),
        lengths=length_chart(_lengths(found.values())),
        curve=collision_chart(minhash.bands, minhash.rows, threshold(minhash)),
        clusters=read_clusters(corpus),
        contamination=read_hits(corpus / "contamination.parquet"),
        overlaps=read_hits(corpus / "heldout_overlaps.parquet"),
    )


def _totals(found: Mapping[str, Way]) -> dict[str, int]:
    totals = [way.total for way in found.values()]
    return {
        "read": sum(total.read for total in totals),
        "kept": sum(total.kept for total in totals),
        "characters_read": sum(total.characters_read for total in totals),
        "characters_kept": sum(total.characters_kept for total in totals),
        "heldout": sum(way.heldout for way in found.values()),
        "heldout_characters": sum(total.notes["split_characters"]["heldout"] for total in totals),
        "changed": sum(sum(total.changed.values()) for total in totals),
    }


def _source(recipe: Recipe, name: str, way: Way) -> dict[str, Any]:
    source = recipe.source(name)
    config = recipe.curation.of(source)
    rows = [row for stage, ledger in way.stages.items() for row in stage_rows(stage, ledger)]
    samples = [sample for stage, ledger in way.stages.items() for sample in stage_samples(stage, ledger)]
    return {
        "name": name,
        "kind": source.kind,
        "language": source.language,
        "licence": source.licence,
        "rule_sets": ", ".join(config.quality_sets),
        "limits": limits(config),
        "way": way,
        "funnel": _funnel(way),
        "rules": rule_totals(rows),
        "samples": _by_rule(samples),
        "encodings": way.total.notes.get("encodings", {}),
        "lengths": length_chart(_lengths([way])),
    }


def _funnel(way: Way) -> list[tuple[str, int]]:
    """What became of the documents, in parts that make up all that were read."""
    lost = [(stage, sum(ledger.dropped.values())) for stage, ledger in way.stages.items()]
    return [("train", way.train), ("heldout", way.heldout), *lost]


def _lengths(found: Iterable[Way]) -> dict[str, dict[int, int]]:
    found = list(found)
    raw, cleaned, corpus = ([way.stages[stage] for way in found] for stage in STAGES)
    return {
        "read": _total(ledger.lengths_read for ledger in raw),
        "after cleaning": _total(ledger.lengths_kept for ledger in cleaned),
        "in the corpus": _total(ledger.lengths_kept for ledger in corpus),
    }


def _total(counts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _by_rule(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """The first few of each rule, dropped before changed before held out, by (action, rule)."""
    order = ("dropped", "changed", "held out")
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: (order.index(sample.action), sample.rule)):
        group = grouped.setdefault((sample.action, sample.rule), [])
        if len(group) < SAMPLES_SHOWN:
            group.append(sample)
    return grouped


def read_hits(path: Path) -> Hits | None:
    """The documents of a table of overlaps; None where the recipe asked for no such comparison."""
    if not path.exists():
        return None
    places = pq.read_table(path, columns=["id", "file"])
    counts = places.group_by("file").aggregate([("id", "count_distinct")]).to_pylist()
    by_file = {row["file"]: row["id_count_distinct"] for row in sorted(counts, key=lambda row: -row["id_count_distinct"])}
    ids = sorted(set(places["id"].to_pylist()), key=lambda each: (zlib.crc32(each.encode()), each))
    shown: dict[str, Mapping[str, Any]] = {}
    for row in pq.read_table(path, filters=pc.field("id").isin(pa.array(ids[:HITS_SHOWN], pa.string()))).to_pylist():
        shown.setdefault(row["id"], row)
    return Hits(len(ids), by_file, tuple(shown[each] for each in ids[:HITS_SHOWN]))
