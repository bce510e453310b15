"""The decisions of a selection: what is a duplicate, and what of the rest is kept within which quotas."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.instructions.clusters import NONE, Likeness, compare, k_means
from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.quotas import Level, Numbers, choose
from lifecycle.recipe.selection import ByScore, Quotas, Selection

DUPLICATE, OUT_OF_BAND, LOW, NOT_DRAWN = "semantic_duplicate", "score_out_of_band", "low_score", "not_drawn"
LANGUAGE, TASK, CLUSTER = "language_quota", "task_quota", "cluster_quota"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Rows:
    """What is decided on, in the order of ids; arrays of shape (conversations, …)."""

    conversations: Sequence[Conversation]
    vectors: NDArray[np.float32]
    """Of length 1."""
    scores: NDArray[np.float64]
    """NaN where there is none."""


@dataclass(frozen=True)
class Chosen:
    """What became of each of them; arrays of shape (conversations,)."""

    decisions: NDArray[np.object_]
    """`kept` or a rule."""
    clusters: Numbers
    likeness: Likeness


def decide(rows: Rows, config: Selection) -> Chosen:
    """Every row kept or dropped under a rule (`lifecycle.instructions.selection.build_selection` says which)."""
    clusters = k_means(rows.vectors, config.clusters or round(len(rows.scores) ** 0.5), config.seed)
    rank = _ranks(rows, config.by)
    decisions = np.full(len(rank), OUT_OF_BAND, dtype=object)
    left = np.flatnonzero(~_out_of_band(rows.scores, config.by))
    # With nothing to drop, what is nearest is still worth showing; a cosine above 1 does not exist.
    threshold = config.duplicates.min_similarity if config.duplicates else 2.0
    among = compare(rows.vectors[left], clusters[left], rank[left], threshold)
    decisions[left[among.duplicate]] = DUPLICATE
    likeness = Likeness(np.full(len(rank), NONE), np.zeros(len(rank), dtype=np.float32), np.zeros(len(rank), dtype=np.bool_))
    likeness.nearest[left] = np.where(among.nearest == NONE, NONE, left[among.nearest])
    likeness.similarity[left], likeness.duplicate[left] = among.similarity, among.duplicate
    left = left[~among.duplicate]
    total = config.keep if isinstance(config.keep, int) else round(config.keep * len(rank))
    beyond, order = (NOT_DRAWN, _drawn(rows.conversations, config.seed)) if config.random else (LOW, rank)
    decisions[left] = choose(total, order[left], _levels(rows, clusters, left, config.quotas), beyond)
    return Chosen(decisions, clusters, likeness)


def _ranks(rows: Rows, by: ByScore) -> Numbers:
    """The place of every row, best first; rows are in the order of their ids, which decides among equals."""
    missing = np.isnan(rows.scores)
    value = np.where(missing, 0.0, rows.scores)
    longest_first = -np.array([each.characters() for each in rows.conversations])
    order = np.lexsort((longest_first, value if by.order == "lowest" else -value, missing))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _drawn(conversations: Sequence[Conversation], seed: int) -> Numbers:
    """A place for every row by a hash of its id: one more conversation changes nothing between the others."""
    keys = [hashlib.sha256(f"{seed}\n{each.id}".encode("utf-8", "surrogatepass")).digest() for each in conversations]
    rank = np.empty(len(keys), dtype=np.int64)
    rank[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return rank


def _out_of_band(scores: NDArray[np.float64], by: ByScore) -> NDArray[np.bool_]:
    low = -np.inf if by.min is None else by.min
    high = np.inf if by.max is None else by.max
    return (scores < low) | (scores > high)


def _levels(rows: Rows, clusters: Numbers, left: Numbers, quotas: Quotas) -> list[Level]:
    levels = []
    for rule, shares, kinds in (
        (LANGUAGE, quotas.languages, [each.language or UNKNOWN for each in rows.conversations]),
        (TASK, quotas.tasks, [each.task for each in rows.conversations]),
    ):
        if shares:
            names, labels = np.unique(np.array(kinds), return_inverse=True)
            levels.append(Level(rule, labels[left], _target(shares, names)))
    exponent = quotas.cluster_exponent
    if exponent is not None:
        levels.append(Level(CLUSTER, clusters[left], lambda _, counts: counts.astype(np.float64) ** exponent))
    return levels


def _target(shares: dict[str, float], names: NDArray[np.str_]) -> Any:
    """Weights of kinds: the shares named, and what these leave, in proportion to their counts, for the others."""

    def weigh(kinds: Numbers, counts: Numbers) -> NDArray[np.float64]:
        named = np.array([shares.get(str(names[kind]), np.nan) for kind in kinds])
        others = np.isnan(named)
        rest = max(0.0, 1 - sum(shares.values()))
        named[others] = rest * counts[others] / max(1, counts[others].sum())
        return named

    return weigh
