"""What a threshold would keep, over a range of values, from the sidecars alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from lifecycle.curation.quality import MIXED_RULE, MODEL_RULE, RULES, Rule
from lifecycle.curation.sidecar import counts_of, read_sidecar
from lifecycle.errors import LifecycleError

SAMPLES = 5
SWEPT = (MIXED_RULE, *RULES, MODEL_RULE)


@dataclass(frozen=True)
class Step:
    """One value of the threshold."""

    value: float
    kept: int
    documents: int
    boundary: tuple[tuple[str, float], ...]
    """Documents nearest to the value, by id, with their figures: first those it drops, then those it keeps."""


def sweep(sidecars: Mapping[str, Path], name: str, values: Sequence[float], language: str | None = None) -> list[Step]:
    """How many documents a rule alone would keep at each value of its threshold, other rules aside.

    Args:
        sidecars: directories of cleaned sources, by source.
        name: `RULE.threshold`, for example `gopher_few_words.min_words`; the threshold may be left out.
        values: what to try.
        language: only documents of this language.

    Raises:
        LifecycleError: there is no such rule, or it has another threshold, or no document to judge.
    """
    rule = find_rule(name)
    ids: list[str] = []
    parts = []
    for directory in sidecars.values():
        table = read_sidecar(directory)
        languages = table["lang"].to_numpy(zero_copy_only=False).astype(np.str_)
        if rule is MODEL_RULE and rule.measure not in table.column_names:
            raise LifecycleError(f"{directory}: cleaned without a quality model; give the recipe a section `quality_model`")
        figures = rule.figures(counts_of(table), languages)
        asked = ~np.isnan(figures) if language is None else (languages == language) & ~np.isnan(figures)
        parts.append(figures[asked])
        ids += [each for each, wanted in zip(table["id"].to_pylist(), asked, strict=True) if wanted]
    figures = np.concatenate(parts) if parts else np.empty(0)
    if not figures.size:
        where = f"{f' in language {language!r}' if language else ''} in {sorted(sidecars)}"
        hint = "; give `curation.max_mixed_language` (1 drops nothing), which measures it" if rule is MIXED_RULE else ""
        raise LifecycleError(f"sweep: no document with a figure for {rule.name}{where}{hint}")
    order = np.argsort(figures, kind="stable")
    return [_step(rule, value, figures[order], [ids[place] for place in order]) for value in values]


def find_rule(name: str) -> Rule:
    """The rule of `RULE` or `RULE.threshold`; raises LifecycleError with what there is."""
    wanted, _, threshold = name.partition(".")
    for rule in SWEPT:
        if rule.name == wanted:
            if threshold and threshold != rule.threshold:
                raise LifecycleError(f"rule {wanted} has the threshold {rule.threshold}, not {threshold!r}")
            return rule
    raise LifecycleError(f"no rule named {wanted!r}; there are {', '.join(rule.name for rule in SWEPT)}")


def _step(rule: Rule, value: float, figures: np.ndarray, ids: Sequence[str]) -> Step:
    """`figures` are sorted, so the boundary is one place."""
    place = int(np.searchsorted(figures, value, side="left" if rule.drops_below else "right"))
    below, above = range(max(0, place - SAMPLES), place), range(place, min(len(ids), place + SAMPLES))
    dropped, kept = (below, above) if rule.drops_below else (above, below)
    boundary = tuple((ids[i], float(figures[i])) for i in (*dropped, *kept))
    return Step(float(value), len(ids) - place if rule.drops_below else place, len(ids), boundary)


def render(name: str, steps: Sequence[Step]) -> Table:
    """The steps as a table for the terminal; a document at the boundary is shown with its figure."""
    rule = find_rule(name)
    table = Table(title=f"{rule.name}.{rule.threshold}: {rule.description}", title_justify="left", title_style="bold")
    for column in ("value", "kept", "share", "just dropped", "just kept"):
        table.add_column(column, overflow="fold", justify="right" if column in ("value", "kept", "share") else "left")
    for step in steps:
        dropped = [item for item in step.boundary if rule.broken(np.array([item[1]]), step.value)[0]]
        sides = (dropped[-2:] if rule.drops_below else dropped[:2]), [i for i in step.boundary if i not in dropped]
        kept = sides[1][:2] if rule.drops_below else sides[1][-2:]
        cells = [escape("\n".join(f"{i}  {figure:.4g}" for i, figure in side)) for side in (sides[0], kept)]
        table.add_row(f"{step.value:.4g}", f"{step.kept:,}", f"{step.kept / step.documents:.1%}", *cells)
    return table
