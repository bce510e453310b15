"""What the Dagster pages of the corpora show: rules, samples, duplicates, settings; most important first, bounded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from resources.shown import markdown, table

if TYPE_CHECKING:
    from lifecycle.curation.account import Way
    from lifecycle.curation.ledger_tables import RuleTotal, Sample
    from lifecycle.ledger import SourceLedger
    from lifecycle.recipe.corpora import CurationConfig, Source

RULES_SHOWN = SOURCES_SHOWN = 20
"""The ledger page has all of them. The UI's column is narrow, and what follows a long table is not found."""
SAMPLES_SHOWN, SAMPLES_PER_RULE = 24, 2
SHORT_STAGES = {"raw_corpora": "reading", "cleaned_corpora": "cleaning", "corpus": "corpus"}


def source_metadata(ledger: "SourceLedger", stage: str) -> dict[str, dg.MetadataValue]:
    """One source in one stage: the account by rule, and samples of what was dropped and of what was changed."""
    from lifecycle.curation.ledger_tables import rule_totals, stage_rows, stage_samples

    samples = list(stage_samples(stage, ledger))
    return {
        "account": dg.MetadataValue.text(_in_words(ledger)),
        "rules": _rules(rule_totals(stage_rows(stage, ledger))),
        "samples: dropped": _drops([each for each in samples if each.action == "dropped"]),
        "samples: changed": _changes([each for each in samples if each.action == "changed"]),
    }


def sources_metadata(ledgers: Sequence["SourceLedger"], stage: str) -> dict[str, dg.MetadataValue]:
    """All sources of one stage: the account of each, what each rule did, and samples side by side."""
    from lifecycle.curation.ledger_tables import rule_totals, stage_rows, stage_samples

    rows = [
        {
            "source": ledger.source,
            "read": ledger.read,
            "kept": ledger.kept,
            "share": _share(ledger.kept, ledger.read),
            "dropped": ", ".join(f"{rule} {count:,}" for rule, count in _most(ledger.dropped)),
            "changed": ", ".join(f"{rule} {count:,}" for rule, count in _most(ledger.changed)),
            "format": ", ".join(ledger.notes.get("formats", {})),
            "languages": ", ".join(f"{language} {count:,}" for language, count in _most(ledger.languages)),
        }
        for ledger in ledgers
    ]
    told = [
        name for name in (rows[0] if rows else ()) if name in ("source", "read", "kept") or any(row[name] for row in rows)
    ]
    samples = [each for ledger in ledgers for each in stage_samples(stage, ledger)]
    return {
        "sources": table([{name: row[name] for name in told} for row in rows], SOURCES_SHOWN * 2),
        "rules": _rules(rule_totals([row for ledger in ledgers for row in stage_rows(stage, ledger)])),
        "samples: changed": _changes([each for each in samples if each.action == "changed"]),
        "samples: dropped": _drops([each for each in samples if each.action == "dropped"]),
    }


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def reading_settings(source: "Source") -> dict[str, dg.MetadataValue]:
    """The licence of a source, and how it is read."""
    told = source.model_dump(mode="json", exclude_defaults=True, exclude={"name", "licence"})
    return {
        "licence": dg.MetadataValue.text(source.licence),
        "settings": _pairs({key.replace("_", " "): str(value) for key, value in told.items()}),
    }


def cleaning_metadata(source: "Source", config: "CurationConfig") -> dict[str, dg.MetadataValue]:
    """The licence of a source, what was switched on to clean it, and the thresholds that applied."""
    from lifecycle.curation.ledger_tables import cleaning_settings, limits

    return {
        "licence": dg.MetadataValue.text(source.licence),
        "settings": _pairs(cleaning_settings(config)),
        "thresholds": table([{"rule": name, "drops": limit} for name, limit in limits(config).items()]),
    }


def whole_way_metadata(ways: Mapping[str, "Way"]) -> dict[str, dg.MetadataValue]:
    """All sources, from their bytes to the corpus: what each rule did, and the way of each source."""
    from lifecycle.curation.ledger_tables import ledger_rows, rule_totals

    return {"rules": _rules(rule_totals(ledger_rows(ways)), SHORT_STAGES), "sources": _sources(ways)}


def corpus_metadata(ways: Mapping[str, "Way"], corpus: Path, config: "CurationConfig") -> dict[str, dg.MetadataValue]:
    """What was found over all sources: the largest clusters, evaluation items in the text, samples; and the settings."""
    from lifecycle.curation.ledger_tables import corpus_settings, stage_samples

    samples = [each for way in ways.values() for each in stage_samples("corpus", way.stages["corpus"])]
    return {
        "largest clusters": _clusters(corpus),
        "evaluation items in the text": _contamination(corpus),
        "samples: dropped": _drops([each for each in samples if each.action == "dropped"]),
        "settings": _pairs(corpus_settings(config)),
    }


def _in_words(ledger: "SourceLedger") -> str:
    dropped = sum(ledger.dropped.values())
    kept = f"{ledger.kept:,} kept ({_share(ledger.kept, ledger.read)})"
    characters = f"{ledger.characters_read:,} characters read, {ledger.characters_kept:,} kept"
    return f"{ledger.read:,} documents read = {kept} + {dropped:,} dropped; {characters}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _rules(totals: Sequence["RuleTotal"], stages: Mapping[str, str] | None = None) -> dg.MetadataValue:
    """What each rule did; with `stages`, the names of the stages in which it did so."""
    rows = [
        {"rule": total.rule}
        | ({"in": stages[total.stage]} if stages else {})
        | {
            "action": total.action,
            "documents": total.documents,
            "share": f"{total.share:.1%}",
            "characters": total.characters,
        }
        for total in totals
    ]
    return table(rows, RULES_SHOWN)


def _sources(ways: Mapping[str, "Way"]) -> dg.MetadataValue:
    """The way of each source, those that give most of the corpus first."""
    characters = sum(way.total.characters_kept for way in ways.values())
    rows = [
        {
            "source": name,
            "read": way.total.read,
            "cleaned": way.stages["cleaned_corpora"].kept,
            "train": way.train,
            "held out": way.heldout,
            "of the corpus": _share(way.total.characters_kept, characters),
        }
        for name, way in sorted(ways.items(), key=lambda item: (-item[1].total.characters_kept, item[0]))
    ]
    return table(rows, SOURCES_SHOWN)


def _drops(samples: Sequence["Sample"]) -> dg.MetadataValue:
    return markdown(("rule", "source", "document", "begins"), ((s.rule, s.source, s.id, s.before) for s in _few(samples)))


def _changes(samples: Sequence["Sample"]) -> dg.MetadataValue:
    return markdown(("rule", "before", "after"), ((s.rule, s.before, s.after or "") for s in _few(samples)))


def _few(samples: Sequence["Sample"]) -> list["Sample"]:
    """Some of each rule."""
    shown: dict[str, list[Sample]] = {}
    for sample in samples:
        group = shown.setdefault(sample.rule, [])
        if len(group) < SAMPLES_PER_RULE:
            group.append(sample)
    return [sample for rule in sorted(shown) for sample in shown[rule]][:SAMPLES_SHOWN]


def _clusters(corpus: Path) -> dg.MetadataValue:
    from lifecycle.curation.cluster_samples import read_clusters

    rows = (
        (f"{each.exact + each.near:,}", each.kept.source, each.kept.text, f"{each.similarity:.2f}", each.least_alike.text)
        for each in read_clusters(corpus)
    )
    return markdown(("dropped", "kept, of", "kept", "least alike", "dropped, for example"), rows)


def _contamination(corpus: Path) -> dg.MetadataValue:
    from lifecycle.curation.ledger_page import read_hits

    hits = read_hits(corpus / "contamination.parquet")
    if hits is None:
        return dg.MetadataValue.text("the recipe names no evaluation files (curation.decontaminate)")
    rows = ((each["source"], each["file"], each["document_context"], each["item_context"]) for each in hits.shown[:8])
    return markdown(("source", "evaluation file", "document", "item"), rows)


def _pairs(settings: Mapping[str, str]) -> dg.MetadataValue:
    return table([{"setting": key, "value": value} for key, value in settings.items()])
