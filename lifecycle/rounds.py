"""What one round of preferences is made of; `lifecycle.stages.rounds_of` says which rounds a recipe has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.stages import Stage


@dataclass(frozen=True)
class Tuning:
    """Fine-tuning of the last round's model (`start`) on the conversations that a recipe adds for round `number`."""

    number: int
    start: "Stage"
    raw: "Stage"
    instructions: "Stage"
    memmap: "Stage"
    model: "Stage"
    evaluation: "Stage"


@dataclass(frozen=True)
class Round:
    """One round of preferences: pairs sampled from the model of the round before, and a model trained on them.

    `start` is the stage of that model, or of what `tuning` made of it: it is sampled, trained further, and the reference.
    """

    start: "Stage"
    pairs: "Stage"
    model: "Stage"
    evaluation: "Stage"
    tuning: Tuning | None = None

    def made(self) -> tuple["Stage", ...]:
        """The stages up to the model, each after its inputs."""
        tuning = self.tuning
        tuned = (tuning.raw, tuning.instructions, tuning.memmap, tuning.model) if tuning else ()
        return (*tuned, self.pairs, self.model)

    def evaluations(self) -> tuple["Stage", ...]:
        """Those of its models, in the order in which these begin with one another."""
        return (self.tuning.evaluation, self.evaluation) if self.tuning else (self.evaluation,)
