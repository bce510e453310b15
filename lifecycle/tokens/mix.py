"""How often each document is written: by epochs of its source, or by shares of tokens within limits on repetition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import DataError
from lifecycle.recipe.corpora import MixConfig, SourceBase
from lifecycle.tokens.shuffle import draw_copies

Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class SourceShare:
    """What the recipe asks of one source."""

    epochs: float
    weight: float | None = None


def source_shares(sources: Sequence[SourceBase]) -> dict[str, SourceShare]:
    """What the recipe asks of its sources, by name."""
    return {source.name: SourceShare(source.epochs, source.weight) for source in sources}


@dataclass(frozen=True)
class Drawn:
    """Copies of each document int64 [documents], and tokens aimed at by source, None where epochs decide."""

    copies: Lengths
    targets: NDArray[np.float64] | None


def draw(
    names: Sequence[str],
    sources: NDArray[np.int32],
    lengths: Lengths,
    shares: Mapping[str, SourceShare],
    mix: MixConfig,
    rng: np.random.Generator,
) -> Drawn:
    """Copies of every document.

    Args:
        names: source names by index.
        sources: source index of each document [documents].
        lengths: tokens of each document [documents].

    Raises:
        DataError: a source has no share, or nothing would be written.
    """
    unknown = sorted(set(names) - set(shares))
    if unknown:
        raise DataError(f"sources: no epochs given for {unknown}, which the corpus holds; is it of another recipe?")
    asked = [shares[name] for name in names]
    if mix.temperature is None and not any(share.weight for share in asked):
        epochs = {index: share.epochs for index, share in enumerate(asked)}
        drawn = Drawn(draw_copies(sources, epochs, rng), None)
    else:
        tokens = np.bincount(sources, weights=lengths, minlength=len(names)).astype(np.float64)
        targets = target_tokens(tokens, [share.weight for share in asked], mix)
        drawn = Drawn(draw_tokens(sources, lengths, targets, rng), targets)
    if not drawn.copies.sum():
        given = {name: shares[name].epochs for name in names}
        raise DataError(
            f"sources: epochs {given} leave no document of {len(sources)}; raise `epochs` of a source, or `mix.tokens`"
        )
    return drawn


def target_tokens(tokens: NDArray[np.float64], weights: Sequence[float | None], mix: MixConfig) -> NDArray[np.float64]:
    """Tokens to take from each source [sources].

    Shares are `weights`, or the sources' own tokens to the power 1/temperature (Devlin et al. 2019, multilingual BERT;
    Conneau and Lample 2019). No source gives more than `max_epochs` times its tokens; what one cannot give, the others
    give in proportion. The sum is `mix.tokens`, or that of all sources once, and less only where every source is at its
    limit.

    Args:
        tokens: what each source holds [sources].
    """
    if mix.temperature is not None:
        wanted = np.where(tokens > 0, tokens, 0.0) ** (1 / mix.temperature)
    else:
        wanted = np.array([weight or 0.0 for weight in weights])
    limits = np.where(wanted > 0, mix.max_epochs * tokens, 0.0)
    left = min(float(mix.tokens if mix.tokens is not None else tokens.sum()), float(limits.sum()))
    targets = np.zeros(len(tokens))
    free = limits > 0
    while free.any() and left > 0:
        given = left * wanted / wanted[free].sum()
        full = free & (given >= limits)
        if not full.any():
            targets[free] = given[free]
            break
        targets[full] = limits[full]
        left -= float(limits[full].sum())
        free &= ~full
    return targets


def draw_tokens(
    sources: NDArray[np.int32], lengths: Lengths, targets: NDArray[np.float64], rng: np.random.Generator
) -> Lengths:
    """Copies of each document that give every source its target, and never more: whole passes, then documents in a drawn
    order up to the first that would be too much. What is missing is therefore less than one document."""
    copies = np.zeros(len(sources), dtype=np.int64)
    for source, target in enumerate(targets.tolist()):
        members = np.flatnonzero(sources == source)
        held = int(lengths[members].sum())
        order = rng.permutation(members)
        if not held:
            continue
        whole = int(target // held)
        copies[members] = whole
        taken = np.searchsorted(np.cumsum(lengths[order]), target - whole * held, side="right")
        copies[order[:taken]] += 1
    return copies


def mix_table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as Markdown."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(column.replace("_", " ") for column in columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
