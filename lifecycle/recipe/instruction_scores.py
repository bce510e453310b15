"""What the optional stage `instruction_scores` measures of every conversation that cleaning kept."""

from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.base import Section

MODEL = "model"
"""Name of the snapshot of a given model."""


class InstructionScores(Section):
    """Difficulty and perplexity by a model, in a sidecar: scored once, decided upon later."""

    model: StartingModel | None = None
    """Whose losses are measured; null takes the recipe's own base model. A given one reads with its own tokenizer, which
    gets the recipe's chat template (`tokenizer.chat_template`) and must have the special tokens that this one needs."""

    def read(self) -> dict[str, StartingModel]:
        """What the stage reads itself, by the names of its snapshots."""
        return {MODEL: self.model} if self.model else {}
