"""The learning rate as a pure function of the step; nothing else may set it."""

import math

from lifecycle.recipe.training import Optimization


def learning_rate(optimization: Optimization, steps: int, step: int) -> float:
    """The learning rate of step `step` (0-based) of `steps`.

    Linear warm-up that reaches the peak at step `warmup_steps`, then a cosine (Loshchilov & Hutter 2017) or linear
    descent that reaches `min_learning_rate_share` of the peak at the last step, or the peak throughout.

    Raises:
        ValueError: `step` is not a step of this run.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is outside of this run's steps 0 to {steps - 1}")
    peak, warmup = optimization.learning_rate, optimization.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    floor = optimization.min_learning_rate_share
    if optimization.schedule == "cosine":
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
    if optimization.schedule == "linear":
        return peak * (floor + (1 - floor) * (1 - progress))
    return peak
