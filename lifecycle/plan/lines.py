"""One line of a plan, as data."""

from typing import Literal

from lifecycle.recipe.base import Section

Action = Literal["reuse", "maybe", "run", "blocked", "decide"]
"""`maybe`: reused if what it is made from comes out with the same bytes as before; `blocked`: a run would fail here, or
before; `decide`: the champion."""


class Cost(Section):
    """What making one artifact takes. Nothing is invented: a figure that nobody has is None."""

    seconds: float | None
    gpu_hours: float | None
    """Hours of all GPUs together; 0 on a CPU."""
    disk: int | None
    """Bytes that the artifact will take."""
    basis: Literal["measured", "scaled", "estimated"]
    """`measured`: what it took last time; `scaled`: that, times the ratio of the training's tokens; `estimated`: the
    preflight's model of the device."""


class PlanLine(Section):
    """What would happen to one stage (of one source)."""

    stage: str
    source: str | None
    action: Action
    why: str
    fingerprint: str | None = None
    """None where it depends on an input that will be made anew."""
    digest: str | None = None
    cost: Cost | None = None
    """Of making it; None for what is reused, and where there is no history of this stage."""

    @property
    def name(self) -> str:
        """`stage`, or `stage/source`."""
        return label(self.stage, self.source)


def label(stage: str, source: str | None) -> str:
    """How a stage, or its part for one source, is called."""
    return f"{stage}/{source}" if source else stage
