"""The ledger of the whole way as rows: per stage, source and rule, in documents, characters and share."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.curation.account import Way
from lifecycle.curation.boilerplate import advert_sentences, broken_edges
from lifecycle.curation.minhash import threshold
from lifecycle.curation.normalise import repairs
from lifecycle.curation.other_rules import MIXED_RULE, SCORE_RULE
from lifecycle.curation.quality import RULES, rules_of
from lifecycle.ledger import SourceLedger
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import PiiKind

LEDGER, SAMPLES = "ledger.parquet", "ledger_samples.parquet"
Action = Literal["read", "changed", "dropped", "held out", "kept"]

LEDGER_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("stage", "source", "rule", "action")]
    + [("documents", pa.int64()), ("characters", pa.int64()), ("share", pa.float64())]
)
SAMPLE_SCHEMA = pa.schema([(name, pa.string()) for name in ("stage", "source", "rule", "action", "id", "before", "after")])
ALL_REPAIRS = repairs(CurationConfig(html_remnants=True, traditional_to_simplified=True))
DESCRIPTIONS = {rule.name: rule.description for rule in RULES} | {
    MIXED_RULE.name: MIXED_RULE.description,
    SCORE_RULE.name: SCORE_RULE.description,
    "language": "In a language that the recipe does not ask for.",
    "exact_duplicate": "The very text of a document that stays.",
    "near_duplicate": "Resembles a better document that stays (MinHash).",
    "exact_duplicate_against": "The very text of a document elsewhere that the recipe compares with.",
    "near_duplicate_against": "Resembles a document elsewhere that the recipe compares with (MinHash).",
    "contaminated": "Shares a passage with an evaluation item of the recipe.",
    "overlaps_heldout": "Shares a passage with held-out text, and would be trained on.",
    "only_repeated_text": "Nothing but lines or paragraphs that earlier documents said.",
    "repeated_lines": "Lines that stand in many documents of the source: navigation, licences, page furniture.",
    "repeated_line": "Lines that an earlier document said.",
    "repeated_paragraph": "Paragraphs that an earlier document said.",
    "c4_lines": "Lines that C4 does not keep.",
    "lone_surrogates": "Halves of characters, which have no form in UTF-8, become U+FFFD.",
}
DESCRIPTIONS |= {
    repair.__name__: (repair.__doc__ or "").split("\n")[0] for repair in (*ALL_REPAIRS, advert_sentences, broken_edges)
}
DESCRIPTIONS |= {f"pii_{kind}": "Personal data became a placeholder." for kind in get_args(PiiKind)}


@dataclass(frozen=True)
class Row:
    """One line of the account of one source in one stage.

    `characters` are those of the documents that were read, dropped, held out or kept; of `changed` ones those that the rule
    took out. `share` is of the documents that the stage read from the source.
    """

    stage: str
    source: str
    rule: str
    """Empty for `read` and `kept`."""
    action: Action
    documents: int
    characters: int
    share: float


@dataclass(frozen=True)
class Sample:
    """A document that a rule dropped, changed (`after` is not None) or set aside."""

    stage: str
    source: str
    rule: str
    action: Action
    id: str
    before: str
    after: str | None


@dataclass(frozen=True)
class RuleTotal:
    """What one rule did in one stage over several sources."""

    stage: str
    rule: str
    action: Action
    documents: int
    characters: int
    share: float
    """Of the documents that the stage read."""
    sources: int

    @property
    def description(self) -> str:
        """What the rule drops, where its name does not say it all."""
        return DESCRIPTIONS.get(self.rule, "")


def stage_rows(stage: str, ledger: SourceLedger) -> Iterator[Row]:
    """The account of one source in one stage: what was read, changed and dropped by rule, held out, and kept."""

    def row(rule: str, action: Action, documents: int, characters: int) -> Row:
        return Row(
            stage, ledger.source, rule, action, documents, characters, documents / ledger.read if ledger.read else 0.0
        )

    yield row("", "read", ledger.read, ledger.characters_read)
    for rule, documents in ledger.changed.items():
        yield row(rule, "changed", documents, ledger.removed_characters[rule])
    for rule, documents in ledger.dropped.items():
        yield row(rule, "dropped", documents, ledger.dropped_characters[rule])
    if "split" in ledger.notes:
        yield row("heldout", "held out", ledger.notes["split"]["heldout"], ledger.notes["split_characters"]["heldout"])
    yield row("", "kept", ledger.kept, ledger.characters_kept)


def ledger_rows(ways: Mapping[str, Way]) -> list[Row]:
    """Every row of every source, stage by stage in their order."""
    return [row for way in ways.values() for stage, ledger in way.stages.items() for row in stage_rows(stage, ledger)]


def stage_samples(stage: str, ledger: SourceLedger) -> Iterator[Sample]:
    """The samples of one source in one stage."""
    for rule, samples in ledger.samples.items():
        for each in samples:
            action = "changed" if each.after is not None else "dropped" if rule in ledger.dropped else "held out"
            yield Sample(stage, ledger.source, rule, action, each.id, each.before, each.after)


def ledger_samples(ways: Mapping[str, Way]) -> list[Sample]:
    """Every sample of every source."""
    return [each for way in ways.values() for stage, ledger in way.stages.items() for each in stage_samples(stage, ledger)]


def rule_totals(rows: Iterable[Row]) -> list[RuleTotal]:
    """What each rule dropped, then what each rule changed, most documents first."""
    rows = list(rows)
    read: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, str, Action], list[Row]] = defaultdict(list)
    for row in rows:
        if row.action == "read":
            read[row.stage] += row.documents
        elif row.action in ("dropped", "changed"):
            found[row.stage, row.rule, row.action].append(row)
    totals = []
    for (stage, rule, action), parts in found.items():
        documents, characters = sum(part.documents for part in parts), sum(part.characters for part in parts)
        totals.append(RuleTotal(stage, rule, action, documents, characters, documents / read[stage], len(parts)))
    return sorted(totals, key=lambda total: (total.action != "dropped", -total.documents, total.rule, total.stage))


def write_tables(ways: Mapping[str, Way], out: Path) -> None:
    """Write `ledger.parquet` (the columns of `Row`) and `ledger_samples.parquet` (those of `Sample`)."""
    for rows, schema, name in (
        (ledger_rows(ways), LEDGER_SCHEMA, LEDGER),
        (ledger_samples(ways), SAMPLE_SCHEMA, SAMPLES),
    ):
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), out / name, compression="zstd")


def limits(config: CurationConfig) -> dict[str, str]:
    """By rule that a configuration switches on: the condition under which a document is dropped, in words."""
    found = {}
    for rule in rules_of(config):
        english, chinese = rule.limits(config, {}, np.array(["en", "zh"])).tolist()
        side = "below" if rule.drops_below else "above"
        if np.isnan(english):
            found[rule.name] = f"{side} {chinese:,.10g} in Chinese"
        else:
            found[rule.name] = f"{side} {english:,.10g}" + (f", in Chinese {chinese:,.10g}" if chinese != english else "")
    return found


def cleaning_settings(config: CurationConfig) -> dict[str, str]:
    """What was switched on for cleaning, in words, by subject."""
    repairs = {
        "traditional to simplified": config.traditional_to_simplified,
        "HTML remnants": config.html_remnants,
        "repeated lines": config.repeated_lines is not None,
        "boilerplate and adverts": config.boilerplate is not None,
        f"personal data ({', '.join(config.pii.kinds)})" if config.pii else "personal data": config.pii is not None,
    }
    on = ", ".join(name for name, switched in repairs.items() if switched)
    blocked = ", ".join(f"{each.category} (from {each.min_hits} hits)" for each in config.blocklists)
    return {
        "languages": f"{', '.join(config.languages)}; the source's own below a certainty of {config.min_language_score:g}",
        "rule sets": ", ".join(config.quality_sets),
        "repairs on request": on or "none",
        "blocklists": blocked or "none",
    }


def corpus_settings(config: CurationConfig) -> dict[str, str]:
    """What decided the corpus, in words, by subject."""
    minhash, overlap = config.minhash, config.heldout_overlap
    return {
        "duplicates": config.deduplication_scope.replace("_", " "),
        "near-duplicates": f"{minhash.shingle}-word shingles, {minhash.bands} bands of {minhash.rows} rows, "
        f"from a similarity of {threshold(minhash):.2f}",
        "compared with": ", ".join(config.against) or "nothing else",
        "evaluation files": f"{', '.join(config.decontaminate)} (passages of {config.overlap.words} words or "
        f"{config.overlap.han_characters} Han characters)"
        if config.decontaminate
        else "none",
        "repeated text": config.repeated_text.unit,
        "held out": f"{config.heldout.share:.1%} of the groups, seed {config.heldout.seed}",
        "overlap with held-out text": f"{overlap.words} words or {overlap.han_characters} Han characters"
        if overlap
        else "allowed",
    }
