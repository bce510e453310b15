"""Conversations that a recipe adds for one of its rounds of preferences."""

from pydantic import Field

from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.recipe.base import Section
from lifecycle.recipe.fine_tuning import SftConfig
from lifecycle.recipe.instruction_files import InstructionFiles


class AddedInstructions(Section):
    """A round that begins with fine-tuning: the last round's model learns new conversations, and then it is sampled.

    They are read and cleaned as `instructions` says, and trained on as `sft` does. Nothing is measured, selected or held out
    of them, and they have no phases: each of these decides over the whole of a set, and additions are small.
    """

    round: int = Field(ge=2)
    """Before the pairs of this round are sampled; what the first round begins with stands in `instructions`."""
    sources: tuple[InstructionFiles, ...] = Field(min_length=1)
    steps: int = Field(gt=0)
    """Optimizer steps over these conversations, in place of `sft.training.steps`."""

    def conversations(self, instructions: InstructionsConfig) -> InstructionsConfig:
        """How they are read and cleaned."""
        everything = {"scores": None, "embeddings": None, "selection": None}
        return instructions.model_copy(update={"sources": self.sources, **everything})

    def fine_tuning(self, sft: SftConfig) -> SftConfig:
        """How they are trained on."""
        training = sft.training.model_copy(update={"steps": self.steps, "validation": None})
        balance = sft.balance.model_copy(update={"coba": None})
        return sft.model_copy(update={"training": training, "balance": balance, "phases": None, "heldout": None})
