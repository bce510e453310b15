"""What happened to one document on its way from its source to the corpus, rule by rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from lifecycle.corpora.documents import Document, shards
from lifecycle.curation.normalise import normalise
from lifecycle.curation.quality import KEPT, MODEL_RULE, rules_of
from lifecycle.curation.sidecar import MODEL_COLUMNS, counts_of, read_sidecar
from lifecycle.errors import LifecycleError
from lifecycle.recipe.corpora import CurationConfig

EXCERPT = 400


@dataclass(frozen=True)
class Judgement:
    """One rule's word on the document: its figure, its limit, whether the document breaks it."""

    rule: str
    figure: float
    limit: float
    broken: bool
    description: str


@dataclass(frozen=True)
class Explanation:
    """The way of one document."""

    id: str
    source: str
    language: str
    text: str
    """As read, the beginning."""
    repairs: tuple[str, ...]
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
            repairs = tuple(rule for rule, _ in normalise(text, config[source], frozenset()))
            decision = row["decision"][0].as_py()
            where, instead = _in_corpus(corpus, identifier) if decision == KEPT else ("not there", None)
            judged = _judge(row, config[source])
            language = row["lang"][0].as_py()
            return Explanation(identifier, source, language, text[:EXCERPT], repairs, judged, decision, where, instead)
    raise LifecycleError(f"no document has the id {identifier!r} in the sources {sorted(cleaned)}")


def _judge(row: pa.Table, config: CurationConfig) -> tuple[Judgement, ...]:
    counts, languages = counts_of(row), row["lang"].to_numpy(zero_copy_only=False).astype(np.str_)
    judged = []
    for rule in rules_of(config):
        figures, limits = rule.figures(counts, languages), rule.limits(config, languages)
        if not np.isnan(limits[0]):
            broken = bool(rule.broken(figures, limits)[0])
            judged.append(Judgement(rule.name, float(figures[0]), float(limits[0]), broken, rule.description))
    return (*judged, *_judge_by_model(row))


def _judge_by_model(row: pa.Table) -> tuple[Judgement, ...]:
    """The quality model's word as cleaning noted it, where there was one for the document's language."""
    if MODEL_COLUMNS[0] not in row.column_names:
        return ()
    score, limit = (float(row[name][0].as_py()) for name in MODEL_COLUMNS)
    broken = bool(MODEL_RULE.broken(np.array([score]), limit)[0])
    return () if np.isnan(score) else (Judgement(MODEL_RULE.name, score, limit, broken, MODEL_RULE.description),)


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


def render(found: Explanation) -> Group:
    """The explanation for the terminal."""
    table = Table(title_justify="left")
    for column in ("rule", "figure", "limit", "", "drops"):
        table.add_column(column, justify="right" if column in ("figure", "limit") else "left")
    for each in found.judgements:
        word = "[red]broken[/red]" if each.broken else "passed"
        table.add_row(each.rule, f"{each.figure:.4g}", f"{each.limit:.4g}", word, escape(each.description))
    after = f"corpus: {found.corpus}" + (f", kept instead: {found.kept_instead}" if found.kept_instead else "")
    return Group(
        escape(f"{found.id} of {found.source}, language {found.language}"),
        escape(f"read: {found.text!r}"),
        escape(f"repairs that changed it: {', '.join(found.repairs) or 'none'}"),
        table,
        escape(f"cleaned: {found.decision}"),
        escape(after),
    )
