"""Pairs on their way: each with where it came from, and the rule that drops it, if one does."""

from dataclasses import dataclass

from lifecycle.preferences.score import words
from lifecycle.preferences.table import Pair


@dataclass
class Draft:
    """A pair that may still be dropped.

    Attributes:
        asked: place of its prompt among those that were asked; None for found pairs.
        chosen, rejected: places of its answers among the candidates.
        group: what it counts for in a mix by weight.
    """

    pair: Pair
    language: str
    group: str
    asked: int | None = None
    chosen: int = -1
    rejected: int = -1
    rule: str | None = None

    @property
    def margin(self) -> float | None:
        """Score of chosen less rejected; None where nobody scored them."""
        if self.pair.chosen_score is None or self.pair.rejected_score is None:
            return None
        return self.pair.chosen_score - self.pair.rejected_score

    def longer(self) -> int:
        """1 where the chosen answer has more words, -1 where it has fewer, 0 where both have as many."""
        chosen, rejected = self.lengths()
        return (chosen > rejected) - (chosen < rejected)

    def lengths(self) -> tuple[int, int]:
        """Words of the chosen and of the rejected answer; in Han text each character is one."""
        return len(words(self.pair.chosen)), len(words(self.pair.rejected))
