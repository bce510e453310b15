"""What the optional stage `instruction_scores` measures of every conversation that cleaning kept."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from lifecycle.endpoint.rubric import Rubric, read_rubric
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.quality import LinearModelConfig

MODEL = "model"
"""Name of the snapshot of a given model."""
RUBRIC = Path(__file__).parents[1] / "instructions" / "rubric.yaml"


class JudgeScores(Section):
    """A model behind a chat endpoint grades every conversation by a rubric."""

    endpoint: EndpointConfig
    rubric: str | None = None
    """A YAML file of texts by language (`en`, `zh`) with `$conversation`, which ask for a last line `Score: N`; null takes
    ours."""
    lowest: float = 1.0
    highest: float = 10.0
    """The scale that the rubric states; a grade off it counts as unreadable."""
    max_characters: int = Field(default=12_000, gt=0)
    """Conversations that are longer are not asked about."""
    tolerance: Annotated[float, RUNTIME] = Field(default=0.2, ge=0, le=1)
    """Share of questions without a readable grade above which the stage fails; what was answered is kept."""

    @model_validator(mode="after")
    def _scale_rises(self) -> "JudgeScores":
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest:g} must lie below highest {self.highest:g}")
        return self

    def read_rubric(self) -> Rubric:
        """What the model is asked; raises RecipeError where the file is not there or damaged."""
        return read_rubric(self.rubric, RUBRIC, "instructions.scores.judge.rubric", ("conversation",))


class LinearScores(LinearModelConfig):
    """A linear model over hashed character n-grams, learnt from conversations that somebody labelled."""

    good: tuple[InstructionFiles, ...] = Field(min_length=1)
    """Conversations as they should be, in any format that instructions may have."""
    bad: tuple[InstructionFiles, ...] = Field(min_length=1)
    """Those that the model shall tell from them."""


class InstructionScores(Section):
    """Difficulty and perplexity by a model, and more on request, in a sidecar: scored once, decided upon later."""

    model: StartingModel | None = None
    """Whose losses are measured; null takes the recipe's own base model. A given one reads with its own tokenizer, which
    gets the recipe's chat template (`tokenizer.chat_template`) and must have the special tokens that this one needs."""
    judge: JudgeScores | None = None
    """Where it is given, the column `judge`."""
    linear: LinearScores | None = None
    """Where it is given, the column `linear`."""

    def read(self) -> dict[str, StartingModel | InstructionFiles]:
        """What the stage reads itself, by the names of its snapshots."""
        labelled = (*self.linear.good, *self.linear.bad) if self.linear else ()
        return {**({MODEL: self.model} if self.model else {}), **{each.name: each for each in labelled}}

    @model_validator(mode="after")
    def _names_are_unique(self) -> "InstructionScores":
        names = [each.name for each in (*self.linear.good, *self.linear.bad)] if self.linear else []
        if len(set(names)) != len(names) or MODEL in names:
            raise ValueError(f"linear: every file needs a name of its own, which is not `{MODEL}`; got {names}")
        return self
