"""Work that processes share without knowing of each other: process r of n takes every n-th item, from the r-th on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Portion:
    """Which items are this process's."""

    rank: int = 0
    world: int = 1

    @classmethod
    def own(cls, environment: Mapping[str, str] = os.environ) -> "Portion":
        """That of this process, as its launcher numbered it; everything where there is none."""
        return cls(int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1")))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Its items, in their order."""
        return items[self.rank :: self.world]


def interleaved(portions: Sequence[Sequence[Item]]) -> list[Item]:
    """The items whose portions these are, in order."""
    total = sum(map(len, portions))
    return [portions[number % len(portions)][number // len(portions)] for number in range(total)]
