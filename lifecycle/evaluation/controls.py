"""What a reward accuracy is worth: the same measurement where nothing can be known, and with nothing but lengths.

Both controls are made from the very pairs that the model is measured on.
"""

from collections.abc import Sequence

import numpy as np

from lifecycle.evaluation.statistics import PairAccuracy, wilson_interval

Lengths = Sequence[tuple[int, int]]
"""Tokens of the chosen and of the rejected answer, by pair."""


def shuffled(margins: np.ndarray, seed: int) -> PairAccuracy:
    """The accuracy of `margins` (chosen over rejected; shape (pairs,)) when each pair is turned round by a coin toss.

    Its expectation is 0.5 whatever the model has learnt; a 95 % interval without 0.5 says that the measurement is wrong, or
    that this is the one case in twenty. A tie counts as half.
    """
    turned = np.where(np.random.default_rng(seed).random(len(margins)) < 0.5, -margins, margins)
    return _control(np.sign(turned))


def length_only(train: Lengths, heldout: Lengths) -> PairAccuracy:
    """The accuracy of a rule that knows only lengths: "the longer one", or the shorter one where `train` says so.

    Answers of equal length count as half.
    """
    longer = sum(np.sign(chosen - rejected) for chosen, rejected in train) >= 0
    differences = np.array([chosen - rejected for chosen, rejected in heldout], dtype=np.float64)
    return _control(np.sign(differences if longer else -differences))


def _control(signs: np.ndarray) -> PairAccuracy:
    right, n = float((signs > 0).sum() + (signs == 0).sum() / 2), len(signs)
    return PairAccuracy(pairs=n, accuracy=right / n if n else 0.0, interval=wilson_interval(right, n))
