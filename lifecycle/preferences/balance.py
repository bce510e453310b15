"""What is said by all pairs together: length, languages, tasks and the mix of sources, each held to what the recipe asks."""

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from lifecycle.errors import DataError
from lifecycle.preferences.drafts import Draft
from lifecycle.recipe.preferences import PairingConfig

MUCH = 0.1
"""A share of the pairs; where less is left, that is said."""
KEPT = 0.5
"""Share of the pairs that capping the tasks leaves at least: a task of two pairs once took all but two from the other."""
LENGTH, LANGUAGE, TASK, MIX = "length_balance", "language_balance", "task_balance", "mix"


def balance(drafts: Sequence[Draft], config: PairingConfig, weights: Mapping[str, float] | None) -> list[str]:
    """Drop the surplus, under `length_balance`, `language_balance`, `task_balance` and `mix`, in this order; returns what to
    warn of.

    A later one may undo a little of an earlier one. Of a surplus those with the smallest margin go, and of found pairs,
    which have none, those with the largest hash of their ids.

    Args:
        weights: of the groups of drafts, where sources are mixed by weight.

    Raises:
        DataError: a language or a group that shall have a share has no pair.
    """
    for pairs in _by(drafts, lambda draft: draft.pair.source).values():
        _even_lengths(pairs, config.max_longer_share)
    if config.language_shares:
        _to_shares(_by(drafts, lambda draft: draft.language), config.language_shares, LANGUAGE, "pairing.language_shares")
    warnings = _cap_tasks(drafts, config.max_task_share)
    if weights:
        _to_shares(_by(drafts, lambda draft: draft.group), weights, MIX, "the weights of the sources of preferences")
    return [*warnings, *_much_lost(drafts)]


def _much_lost(drafts: Sequence[Draft]) -> list[str]:
    """A share that one small group must keep takes nearly everything from the others: said, as it is rarely meant."""
    left, said = sum(draft.rule is None for draft in drafts), []
    for rule in (MIX, TASK, LANGUAGE, LENGTH):
        before = left + sum(draft.rule == rule for draft in drafts)
        if left < MUCH * before:
            said.append(f"{rule} leaves {left} of {before} pairs: is its smallest group too small, or its share too large?")
        left = before
    return said


def proportional(counts: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, int]:
    """How many of each group make the largest whole in which groups stand to each other as `shares` do, none repeated."""
    total = sum(shares.values())
    whole = min(counts[name] * total / share for name, share in shares.items())
    return {name: min(counts[name], max(1, math.floor(whole * share / total + 1e-9))) for name, share in shares.items()}


def capped(counts: Mapping[str, int], share: float) -> dict[str, int]:
    """How many of each group stay so that none is more than `share` of what stays, and as many as possible.

    `KEPT` of all stay at least: where the others are too small for that, the largest groups are made equal to each other and
    remain more than `share`. Where there are fewer than 1 / share groups, none is cut below the smallest one.
    """
    limit = max(_exact_limit(counts, share), _floor(counts))
    return {name: min(count, limit) for name, count in counts.items()}


def _exact_limit(counts: Mapping[str, int], share: float) -> int:
    """The size of the largest group where none is more than `share` of what stays."""
    whole = sum(counts.values())
    while whole:
        limit = math.floor(share * whole + 1e-9)
        stays = sum(min(count, limit) for count in counts.values())
        if stays >= whole:
            return limit
        whole = stays
    return min(counts.values(), default=0)


def _floor(counts: Mapping[str, int]) -> int:
    """The least size of the largest groups with which `KEPT` of all stay."""
    wanted = math.ceil(KEPT * sum(counts.values()))
    sizes = range(max(counts.values(), default=0) + 1)
    return bisect_left(sizes, wanted, key=lambda limit: sum(min(count, limit) for count in counts.values()))


def _even_lengths(drafts: list[Draft], share: float) -> None:
    """At most `share` of those with a longer and a shorter answer are on one side."""
    sides = {side: [draft for draft in drafts if draft.longer() == side] for side in (1, -1)}
    more, fewer = sorted(sides.values(), key=len, reverse=True)
    if share < 1:
        _drop_beyond(more, math.floor(len(fewer) * share / (1 - share) + 1e-9), LENGTH)


def _to_shares(groups: Mapping[str, list[Draft]], shares: Mapping[str, float], rule: str, field: str) -> None:
    missing = [name for name in shares if not groups.get(name)]
    if missing:
        raise DataError(
            f"preferences: {field} ask for {missing}, of which there is no pair; there are "
            f"{ {name: len(each) for name, each in sorted(groups.items())} }. Leave it out, or add pairs of it"
        )
    limits = proportional({name: len(groups[name]) for name in shares}, shares)
    for name, pairs in groups.items():
        _drop_beyond(pairs, limits.get(name, 0), rule)


def _cap_tasks(drafts: Sequence[Draft], share: float) -> list[str]:
    groups = _by(drafts, lambda draft: draft.pair.task)
    limits = capped({task: len(each) for task, each in groups.items()}, share)
    for task, pairs in groups.items():
        _drop_beyond(pairs, limits[task], TASK)
    left = sum(limits.values())
    return [
        f"{TASK}: {task} is {size} of {left} pairs, more than pairing.max_task_share {share:g}: there are too few of the "
        f"other tasks; add some, or raise it"
        for task, size in limits.items()
        if size > share * left + 1
    ]


def _drop_beyond(drafts: list[Draft], count: int, rule: str) -> None:
    order = sorted(drafts, key=lambda draft: (-(draft.margin or 0.0), hashlib.sha256(draft.pair.id.encode()).digest()))
    for draft in order[count:]:
        draft.rule = rule


def _by(drafts: Sequence[Draft], key: Callable[[Draft], str]) -> dict[str, list[Draft]]:
    """Those that no rule has dropped yet, by group."""
    groups: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.rule is None:
            groups[key(draft)].append(draft)
    return dict(groups)
