"""Gates: what a model must reach, in numbers or against another model, before it becomes champion."""

import re

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section

CHAMPION, FINAL = "champion", "final"
NAMED = r"base|sft|dpo|(sft|dpo)_r[2-9]|kto"
"""Models as the report calls them."""


class Gate(Section):
    """A condition on one figure of one model: a range, or a comparison with another model.

    Distances are counted in standard errors of the figure, or of the difference (that of the paired items where both
    models answered the same ones). A figure without a known error has none to spare.
    """

    metric: str
    """`<task>/<metric>` as the report names it."""
    model: str = Field(default=FINAL, pattern=rf"^({NAMED}|{FINAL})$")
    """`final` is the model of the last round: the one that may become champion."""
    at_least: float | None = None
    at_most: float | None = None
    tolerance: float = Field(default=0.0, ge=0)
    """By how many standard errors the figure may miss `at_least` or `at_most`."""
    compared_to: str | None = Field(default=None, pattern=rf"^({NAMED}|{CHAMPION})$")
    """`champion` is what the registry calls so when the gate is decided; while there is none the gate holds."""
    no_worse_by: float | None = Field(default=None, ge=0)
    """By how many standard errors of the difference the model may be worse than `compared_to`."""
    better_by: float | None = Field(default=None, ge=0)
    """By how many standard errors of the difference the model must be better than `compared_to`."""
    blocking: bool = True
    """A gate that does not block is a warning: it is shown and recorded, and refuses nothing."""

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> "Gate":
        about = f"gate on {self.metric!r}"
        ranged = self.at_least is not None or self.at_most is not None
        distances = [name for name in ("no_worse_by", "better_by") if getattr(self, name) is not None]
        if ranged == (self.compared_to is not None):
            raise ValueError(f"{about}: give at_least, at_most or both; or compared_to with no_worse_by or better_by")
        if ranged and distances:
            raise ValueError(f"{about}: {distances[0]} belongs to compared_to; of a number use tolerance")
        if self.compared_to is not None and len(distances) != 1:
            raise ValueError(f"{about}: compared_to needs no_worse_by or better_by, in standard errors, and not both")
        if self.compared_to is not None and self.tolerance:
            raise ValueError(f"{about}: tolerance belongs to at_least and at_most; with compared_to use no_worse_by")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"{about}: at_least {self.at_least:g} is above at_most {self.at_most:g}; it could never hold")
        if self.compared_to == self.model:
            raise ValueError(f"{about}: {self.model} cannot be compared to itself")
        if self.compared_to == CHAMPION and self.model != FINAL:
            raise ValueError(f"{about}: the champion is a final model; compare model: final with it, not {self.model}")
        return self

    @property
    def name(self) -> str:
        """The name of its asset check; it keeps its history when the numbers change."""
        return re.sub(r"\W+", "_", f"{self.model} {self.metric} {self.kind}").strip("_").lower()

    @property
    def kind(self) -> str:
        """What is asked for, in words without numbers."""
        if self.compared_to is not None:
            return f"{'better' if self.better_by is not None else 'no worse'} than {self.compared_to}"
        if self.at_least is not None and self.at_most is not None:
            return "within"
        return "at least" if self.at_least is not None else "at most"

    def condition(self) -> str:
        """What is asked for, in words."""
        if self.compared_to is None:
            limits = (("at least", self.at_least), ("at most", self.at_most))
            spare = f" (may miss it by {self.tolerance:g} standard errors)" if self.tolerance else ""
            return " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None) + spare
        if self.better_by is not None:
            by = f" by at least {self.better_by:g} standard errors" if self.better_by else ""
            return f"better than {self.compared_to}{by}"
        by = f" by more than {self.no_worse_by:g} standard errors" if self.no_worse_by else ""
        return f"no worse than {self.compared_to}{by}"
