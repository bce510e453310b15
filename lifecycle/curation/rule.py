"""What every rule is that drops a document by a figure: it lies in the sidecar, and is compared with one threshold."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.measures import Counts, Figures
from lifecycle.recipe.corpora import CurationConfig


@dataclass(frozen=True)
class Rule(ABC):
    """One reason to drop a document; one on the threshold is kept."""

    name: str
    threshold: str
    """The recipe's field, whose name says the direction: a figure below a `min_…` or above a `max_…` drops the document."""
    description: str
    """What it drops, and the source of its threshold where that is not the source of its set."""

    measured: str = field(default="", kw_only=True)
    """What the recipe must state for it to be measured, where it is not always."""

    @property
    def drops_below(self) -> bool:
        """Whether small figures are dropped rather than large ones."""
        return self.threshold.startswith("min_")

    @abstractmethod
    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The figure of every document, NaN where nothing was measured, shape (documents,)."""

    @abstractmethod
    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The threshold for every document by its language, NaN where the rule does not ask, shape (documents,)."""

    def broken(self, figures: Figures, limits: Figures | float) -> NDArray[np.bool_]:
        """Which documents the rule drops; a figure or limit that is NaN drops none."""
        return figures < limits if self.drops_below else figures > limits
