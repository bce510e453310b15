"""So many of each kind: quotas that add up to the number wanted, and the best of each kind within its quota."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEPT = "kept"

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """One way to tell conversations apart, and what each kind weighs."""

    rule: str
    """What drops a conversation that this level leaves no room for."""
    labels: Numbers
    """The kind of every row, shape (rows,)."""
    weigh: Callable[[Numbers, Numbers], NDArray[np.float64]]
    """`weigh(kinds, counts)`: weights of these kinds, of which so many rows are there."""


def allocate(total: int, weights: NDArray[np.float64], supply: Numbers) -> Numbers:
    """Whole numbers in proportion to `weights`, none above `supply`, that add up to the smaller of `total` and all supply.

    What a kind cannot fill goes to the others by their weights; those of weight 0 get what is left then, by their supply.
    Fractions are rounded by largest remainder, earlier kinds first among equals.
    """
    total = min(total, int(supply.sum()))
    given = np.zeros(len(supply), dtype=np.int64)
    for shares in (weights, supply.astype(np.float64)):
        while (open_ := np.flatnonzero((given < supply) & (shares > 0))).size and (left := total - int(given.sum())):
            wanted = left * shares[open_] / shares[open_].sum()
            full = given[open_] + wanted >= supply[open_]
            if full.any():
                given[open_[full]] = supply[open_[full]]
                continue
            whole = np.floor(wanted).astype(np.int64)
            whole[np.argsort(whole - wanted, kind="stable")[: left - int(whole.sum())]] += 1
            given[open_] += whole
    return given


def choose(total: int, rank: Numbers, levels: Sequence[Level], beyond: str) -> NDArray[np.object_]:
    """`KEPT` or a rule for every row, shape (rows,): the best of each innermost kind, within its quota.

    The quotas of a level share out what the level above gave. Exactly min(total, rows) are kept. A row that would stay but
    for the quotas of one level is dropped under that level's rule; one that is not among the best `total` at all under
    `beyond`.

    Args:
        rank: of each row, all different; the smallest is the best.
    """
    passed = np.zeros(len(rank), dtype=np.int64)
    kept = np.zeros(len(rank), dtype=np.bool_)
    _cut(np.argsort(rank, kind="stable"), total, levels, 0, passed, kept)
    rules = np.array([beyond, *(level.rule for level in levels), KEPT], dtype=object)
    return np.where(kept, KEPT, rules[passed])


def _cut(
    members: Numbers, total: int, levels: Sequence[Level], depth: int, passed: Numbers, kept: NDArray[np.bool_]
) -> None:
    """Keep the best of each innermost kind, and count how many cuts, from the outermost, each row passes before it fails.

    Args:
        members: rows of one kind, best first.
    """
    best = members[:total]
    passed[best[passed[best] == depth]] += 1
    if depth == len(levels):
        kept[best] = True
        return
    level = levels[depth]
    kinds, counts = np.unique(level.labels[members], return_counts=True)
    quotas = allocate(total, level.weigh(kinds, counts), counts)
    for kind, quota in zip(kinds.tolist(), quotas.tolist(), strict=True):
        _cut(members[level.labels[members] == kind], quota, levels, depth + 1, passed, kept)
