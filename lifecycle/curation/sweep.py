"""What a threshold would keep, over a range of values, from the sidecars alone; texts are read of the samples shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from lifecycle.corpora.documents import rows_at
from lifecycle.curation.measures import Figures
from lifecycle.curation.other_rules import SCORE_RULE, blocklist_rules, hits_rules, language_rules
from lifecycle.curation.quality import RULES
from lifecycle.curation.rule import Rule
from lifecycle.curation.sidecar import counts_of, read_sidecar
from lifecycle.errors import DataError, LifecycleError
from lifecycle.recipe.corpora import CurationConfig

SAMPLES = 5
SHOWN = 2
"""Samples of either side in the terminal."""
EXCERPT = 80


@dataclass(frozen=True)
class Sample:
    """A document near a value."""

    source: str
    row: int
    """Its number in reading order among the documents that its source had."""
    id: str
    figure: float
    dropped: bool
    text: str | None = None
    """Its beginning as read, in one line."""


@dataclass(frozen=True)
class Step:
    """One value of the threshold."""

    value: float
    kept: int
    documents: int
    boundary: tuple[Sample, ...]
    """Documents nearest to the value, the nearest first: those it drops, then those it keeps."""


class Swept(Protocol):
    """What can be tried out of a rule; curation's and those of instructions are such."""

    @property
    def name(self) -> str: ...
    @property
    def threshold(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def drops_below(self) -> bool: ...

    def broken(self, figures: Figures, limits: float) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class Measured:
    """Figures with whose they are; all of shape (documents that have a figure,)."""

    figures: Figures
    sources: NDArray[np.int64]
    rows: NDArray[np.int64]
    ids: pa.ChunkedArray


def sweep(
    cleaned: Mapping[str, Path],
    name: str,
    values: Sequence[float],
    config: Mapping[str, CurationConfig],
    language: str | None = None,
) -> list[Step]:
    """How many documents a rule alone would keep at each value of its threshold, other rules aside.

    Args:
        cleaned: directories of cleaned sources, by source.
        name: `RULE.threshold`, for example `gopher_few_words.min_words`; the threshold may be left out.
        values: what to try.
        config: curation of each source (`CurationConfig.of`).
        language: only documents of this language.

    Raises:
        LifecycleError: there is no such rule, or it has another threshold, or no document to judge.
    """
    rules = {source: found for source in cleaned if (found := _rule(name, config[source]))}
    if not rules:
        raise _unknown(name, [config[source] for source in cleaned])
    rule = next(iter(rules.values()))
    found = in_order([_figures(number, cleaned[source], rules[source], language) for number, source in enumerate(rules)])
    if not found.figures.size:
        where = f"{f' in language {language!r}' if language else ''} in {sorted(rules)}"
        hint = f": {rule.measured}" if rule.measured else ""
        raise LifecycleError(f"sweep: no document with a figure for {rule.name}{where}{hint}")
    return [try_value(rule, value, found, list(rules)) for value in values]


def _figures(source: int, directory: Path, rule: Rule, language: str | None) -> Measured:
    table = read_sidecar(directory)
    languages = table["lang"].to_numpy(zero_copy_only=False).astype(np.str_)
    figures = rule.figures(counts_of(table), languages)
    asked = ~np.isnan(figures)
    if language is not None:
        asked &= languages == language
    rows = np.flatnonzero(asked)
    return Measured(figures[rows], np.full(rows.size, source), rows, table["id"].take(pa.array(rows)))


def in_order(parts: Sequence[Measured]) -> Measured:
    """All of them, by rising figure."""
    figures = np.concatenate([part.figures for part in parts])
    order = np.argsort(figures, kind="stable")
    ids = pa.chunked_array([chunk for part in parts for chunk in part.ids.chunks], pa.string())
    sources, rows = np.concatenate([part.sources for part in parts]), np.concatenate([part.rows for part in parts])
    return Measured(figures[order], sources[order], rows[order], ids.take(pa.array(order)))


def try_value(rule: Swept, value: float, found: Measured, sources: Sequence[str]) -> Step:
    """What the rule keeps at this value: figures are in order, so what it drops lies on one side of a boundary.

    Args:
        sources: names of the numbers in `found.sources`.
    """
    size, gone = found.figures.size, int(rule.broken(found.figures, value).sum())
    place = gone if rule.drops_below else size - gone
    below, above = range(place - 1, max(0, place - SAMPLES) - 1, -1), range(place, min(size, place + SAMPLES))

    def samples(places: range, dropped: bool) -> list[Sample]:
        return [
            Sample(
                sources[int(found.sources[each])],
                int(found.rows[each]),
                found.ids[each].as_py(),
                float(found.figures[each]),
                dropped,
            )
            for each in places
        ]

    boundary = (*samples(below if rule.drops_below else above, True), *samples(above if rule.drops_below else below, False))
    return Step(float(value), size - gone, size, boundary)


def with_texts(steps: Sequence[Step], raw: Mapping[str, Path]) -> list[Step]:
    """The same steps, with the beginnings of their samples: only the row groups in which they lie are read.

    Args:
        raw: directories of the documents from which each source was cleaned.

    Raises:
        DataError: they are others, or cannot be read.
    """
    wanted: dict[str, dict[int, str]] = {}
    for each in (sample for step in steps for sample in step.boundary):
        wanted.setdefault(each.source, {})[each.row] = each.id
    texts: dict[tuple[str, int], str] = {}
    for source, ids in wanted.items():
        for row, document in rows_at(raw[source], ids, ["id", "text"]):
            if document["id"] != ids[row]:
                raise DataError(f"{raw[source]}: document {row} is not {ids[row]!r}; run `lifecycle run` again")
            texts[source, row] = document["text"]
    return told(steps, texts)


def told(steps: Sequence[Step], texts: Mapping[tuple[str, int], str]) -> list[Step]:
    """The steps with the beginnings of their samples' texts, which are given by source and row."""

    def beginning(sample: Sample) -> Sample:
        text = texts.get((sample.source, sample.row))
        return replace(sample, text=None if text is None else " ".join(text[: EXCERPT * 4].split())[:EXCERPT])

    return [replace(step, boundary=tuple(map(beginning, step.boundary))) for step in steps]


def rules_to_sweep(config: CurationConfig) -> tuple[Rule, ...]:
    """Every rule whose threshold can be tried, whether the recipe asks it or not; a blocklist has two."""
    return (*language_rules(config), *RULES, *blocklist_rules(config), *hits_rules(config), SCORE_RULE)


def find_rule(name: str, configs: Sequence[CurationConfig]) -> Rule:
    """The rule of `RULE` or `RULE.threshold`, as the first configuration has it that does.

    Raises:
        LifecycleError: none has it; it says what there is.
    """
    for config in configs:
        found = _rule(name, config)
        if found:
            return found
    raise _unknown(name, configs)


def _rule(name: str, config: CurationConfig) -> Rule | None:
    wanted, _, threshold = name.partition(".")
    rules = (rule for rule in rules_to_sweep(config) if rule.name == wanted and threshold in ("", rule.threshold))
    return next(rules, None)


def _unknown(name: str, configs: Sequence[CurationConfig]) -> LifecycleError:
    wanted, _, threshold = name.partition(".")
    rules = [rule for config in configs for rule in rules_to_sweep(config)]
    thresholds = list(dict.fromkeys(rule.threshold for rule in rules if rule.name == wanted))
    if thresholds:
        return LifecycleError(f"rule {wanted} has the threshold {' or '.join(thresholds)}, not {threshold!r}")
    names = ", ".join(dict.fromkeys(rule.name for rule in rules))
    hint = "; give `curation.blocklists` a list of that category" if wanted.startswith("blocklist:") else ""
    return LifecycleError(f"no rule named {wanted!r}; there are {names}{hint}")


def render(rule: Swept, steps: Sequence[Step]) -> Table:
    """The steps as a table for the terminal; a document at the boundary is shown with its figure and its beginning."""
    table = Table(title=f"{rule.name}.{rule.threshold}: {rule.description}", title_justify="left", title_style="bold")
    for column in ("value", "kept", "share", "just dropped", "just kept"):
        table.add_column(column, overflow="fold", justify="right" if column in ("value", "kept", "share") else "left")
    for step in steps:
        sides = ([each for each in step.boundary if each.dropped is dropped][:SHOWN] for dropped in (True, False))
        cells = ["\n".join(map(_shown, side)) for side in sides]
        table.add_row(f"{step.value:.4g}", f"{step.kept:,}", f"{step.kept / step.documents:.1%}", *cells)
    return table


def _shown(sample: Sample) -> str:
    text = "" if sample.text is None else f"\n[dim]{escape(sample.text)}[/dim]"
    return f"{escape(sample.id)}  {sample.figure:.4g}{text}"
