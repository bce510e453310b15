"""What happened to one document on its way from its source to the corpus, rule by rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from lifecycle.corpora.documents import Document, shards
from lifecycle.curation.normalise import steps
from lifecycle.curation.other_rules import SCORE_RULE, blocklist_rules, language_rules
from lifecycle.curation.quality import KEPT, rules_of
from lifecycle.curation.removed_lines import read_removed
from lifecycle.curation.repeated_lines import Hashes
from lifecycle.curation.rewrite import c4_text
from lifecycle.curation.sidecar import counts_of, read_sidecar
from lifecycle.errors import LifecycleError
from lifecycle.recipe.corpora import CurationConfig

EXCERPT = 400
PLACES, PLACE, CONTEXT = 3, 160, 30
"""Places of one change that are shown, characters of each, and of them before the first difference."""


@dataclass(frozen=True)
class Judgement:
    """One rule's word on the document: its figure, its limit, whether the document breaks it."""

    rule: str
    figure: float
    limit: float
    broken: bool
    description: str


@dataclass(frozen=True)
class Change:
    """What one rule did to the text: its places, each before and after, and how many more there are."""

    rule: str
    places: tuple[tuple[str, str], ...]
    more: int


@dataclass(frozen=True)
class Explanation:
    """The way of one document."""

    id: str
    source: str
    language: str
    text: str
    """As read, the beginning."""
    changes: tuple[Change, ...]
    """Every change that cleaning made, in order; a rule may come again."""
    judgements: tuple[Judgement, ...]
    decision: str
    """Of cleaning: `kept`, or the rule that dropped it."""
    corpus: str
    """`train`, `heldout`, the rule under which the corpus dropped it, or `not there`."""
    kept_instead: str | None
    """Where it is a duplicate: the document that stayed."""


def explain(
    identifier: str,
    raw: Mapping[str, Path],
    cleaned: Mapping[str, Path],
    corpus: Path | None,
    config: Mapping[str, CurationConfig],
) -> Explanation:
    """Follow one document through the artifacts.

    Args:
        identifier: the document's id.
        raw, cleaned: directories of the stages, by source.
        corpus: directory of the corpus, or None when it has not been made.
        config: curation of each source (`CurationConfig.of`).

    Raises:
        LifecycleError: no source has a document of this id.
    """
    for source, directory in cleaned.items():
        table = read_sidecar(directory)
        row = table.filter(pc.field("id") == identifier).slice(0, 1)
        if row.num_rows:
            document = _find(raw[source], identifier)
            text = document["text"] if document else ""
            decision, language = row["decision"][0].as_py(), row["lang"][0].as_py()
            changes = _follow(text, language, decision, config[source], read_removed(directory))
            where, instead = _in_corpus(corpus, identifier) if decision == KEPT else ("not there", None)
            judged = _judge(row, config[source])
            return Explanation(identifier, source, language, text[:EXCERPT], changes, judged, decision, where, instead)
    raise LifecycleError(f"no document has the id {identifier!r} in the sources {sorted(cleaned)}")


def _follow(text: str, language: str, decision: str, config: CurationConfig, repeated: Hashes) -> tuple[Change, ...]:
    """Every change of the text."""
    changes = []
    for rule, after in steps(text, config, repeated):
        changes.append(change_of(rule, text, after))
        text = after
    if decision == KEPT and "c4_quality" in config.quality_sets and config.c4_quality.rewrite_lines:
        rewritten = c4_text(text, language, config, repeated)
        if rewritten != text:
            changes.append(change_of("c4_lines", text, rewritten))
    return tuple(changes)


def change_of(rule: str, old: str, new: str) -> Change:
    """The runs of lines that differ."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = SequenceMatcher(None, before, after, autojunk=True)
    runs = [("".join(before[a:b]), "".join(after[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    return Change(rule, tuple(_excerpts(*run) for run in runs[:PLACES]), max(0, len(runs) - PLACES))


def _excerpts(old: str, new: str) -> tuple[str, str]:
    """Both from a little before the first character in which they differ."""
    same = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - CONTEXT)
    return old[start:][:PLACE], new[start:][:PLACE]


def _judge(row: pa.Table, config: CurationConfig) -> tuple[Judgement, ...]:
    counts, languages = counts_of(row), row["lang"].to_numpy(zero_copy_only=False).astype(np.str_)
    judged = []
    for rule in (*language_rules(config), *rules_of(config), *blocklist_rules(config), SCORE_RULE):
        figures, limits = rule.figures(counts, languages), rule.limits(config, counts, languages)
        if not np.isnan(figures[0] + limits[0]):
            broken = bool(rule.broken(figures, limits)[0])
            judged.append(Judgement(rule.name, float(figures[0]), float(limits[0]), broken, rule.description))
    return tuple(judged)


def _find(directory: Path, identifier: str) -> Document | None:
    """The document of an id, reading ids only until it is found."""
    for path in shards(directory):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if identifier in file.read_row_group(group, columns=["id"])["id"].to_pylist():
                    table = file.read_row_group(group)
                    return table.filter(pc.field("id") == identifier).slice(0, 1).to_pylist()[0]
    return None


def _in_corpus(corpus: Path | None, identifier: str) -> tuple[str, str | None]:
    if corpus is None:
        return "not made yet", None
    duplicates = pq.read_table(corpus / "duplicates.parquet")
    found = duplicates.filter(pc.field("id") == identifier).to_pylist()
    if found:
        return found[0]["rule"], f"{found[0]['kept_id']} of {found[0]['kept_source']}"
    for side in ("train", "heldout"):
        if _find(corpus / side, identifier):
            return side, None
    return "not there", None


def render_changes(changes: tuple[Change, ...]) -> tuple[str, ...]:
    """What was changed, place by place, as lines for the terminal."""
    lines = [escape(f"changed by: {', '.join(change.rule for change in changes) or 'no rule'}")]
    for change in changes:
        lines.append(f"[bold]{escape(change.rule)}[/bold]")
        for old, new in change.places:
            lines += [f"  [red]-[/red] {escape(repr(old))}", f"  [green]+[/green] {escape(repr(new))}"]
        if change.more:
            lines.append(f"  … and {change.more} more")
    return tuple(lines)


def render_judgements(judgements: tuple[Judgement, ...]) -> Table:
    """Every rule's word as a table for the terminal."""
    table = Table(title_justify="left")
    for column in ("rule", "figure", "limit", "", "drops"):
        table.add_column(column, justify="right" if column in ("figure", "limit") else "left")
    for each in judgements:
        word = "[red]broken[/red]" if each.broken else "passed"
        table.add_row(each.rule, f"{each.figure:.4g}", f"{each.limit:.4g}", word, escape(each.description))
    return table


def render(found: Explanation) -> Group:
    """The explanation for the terminal."""
    after = f"corpus: {found.corpus}" + (f", kept instead: {found.kept_instead}" if found.kept_instead else "")
    return Group(
        escape(f"{found.id} of {found.source}, language {found.language}"),
        escape(f"read: {found.text!r}"),
        *render_changes(found.changes),
        render_judgements(found.judgements),
        escape(f"cleaned: {found.decision}"),
        escape(after),
    )
