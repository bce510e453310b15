"""The learning rate as a pure function of the step; nothing else may set it."""

import math
from typing import Literal

from lifecycle.recipe.training import Optimization


def learning_rate(optimization: Optimization, steps: int, step: int) -> float:
    """The learning rate of step `step` (0-based) of `steps`.

    Linear warm-up that reaches the peak at step `warmup_steps`. Then a cosine (Loshchilov & Hutter 2017) or linear descent
    that reaches `min_learning_rate_share` of the peak at the last step; or warm-up, stable, decay (wsd: Hu et al. 2024,
    MiniCPM): the peak, and the descent only over the last `decay_share` of all steps, as 1 - sqrt (Haegele et al. 2024),
    linear or cosine; or the peak throughout.

    Raises:
        ValueError: `step` is not a step of this run.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is outside of this run's steps 0 to {steps - 1}")
    peak, warmup = optimization.learning_rate, optimization.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if optimization.schedule == "constant":
        return peak
    begin, form = warmup, optimization.schedule
    if form == "wsd":
        begin, form = max(warmup, steps - 1 - round(optimization.decay_share * steps)), optimization.decay_form
    progress = max(0, step - begin) / max(1, steps - 1 - begin)
    floor = optimization.min_learning_rate_share
    return peak * (floor + (1 - floor) * _left(form, progress))


def _left(form: Literal["cosine", "linear", "sqrt"], progress: float) -> float:
    """What is left of a descent from 1 to 0 after a share `progress` of it."""
    if form == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - (math.sqrt(progress) if form == "sqrt" else progress)
