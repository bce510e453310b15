"""What making an artifact will take, by what it took before."""

import math
from collections.abc import Mapping
from typing import Any

from lifecycle.manifest import Manifest
from lifecycle.plan.lines import Cost, PlanLine

CPU = "cpu"
LENGTH = ("steps", "global_batch", "sequence_length")


def measured(previous: Manifest | None, identity: Any) -> Cost | None:
    """The cost of the last time; of a training whose length changed, in proportion to its tokens. None without history.

    Curation keeps results of pieces, so that its next run costs what is new and not this.
    """
    if previous is None:
        return None
    before, now = training_tokens(previous.identity), training_tokens(identity)
    ratio = now / before if before and now else 1.0
    seconds = previous.seconds * ratio
    return Cost(
        seconds=round(seconds, 3),
        gpu_hours=_gpu_hours(previous.facts, ratio),
        disk=sum(file.size for file in previous.files),
        basis="measured" if ratio == 1 else "scaled",
    )


def training_tokens(identity: Any) -> int | None:
    """The length of a training in tokens, from its part of the recipe."""
    training = identity.get("training") if isinstance(identity, Mapping) else None
    if not isinstance(training, Mapping):
        return None
    length = [training.get(name) for name in LENGTH]
    factors = [each for each in length if isinstance(each, int)]
    return math.prod(factors) if len(factors) == len(LENGTH) else None


def _gpu_hours(facts: Mapping[str, Any], ratio: float) -> float | None:
    """What the job says of its devices; 0 for stages that train nothing."""
    if "device" not in facts:
        return None if "seconds_training" in facts else 0.0
    if facts["device"] == CPU:
        return 0.0
    return round(facts["processes"] * facts["seconds_training"] * ratio / 3600, 4)


def total(lines: list[PlanLine]) -> tuple[float, float, int, int]:
    """Seconds, GPU-hours and bytes of all lines that will run, and how many of those nothing is known of."""
    running = [line for line in lines if line.action == "run"]
    costs = [line.cost for line in running if line.cost]
    return (
        sum(cost.seconds or 0.0 for cost in costs),
        sum(cost.gpu_hours or 0.0 for cost in costs),
        sum(cost.disk or 0 for cost in costs),
        len(running) - len(costs),
    )
