"""The recipe's evaluation: what every model is measured by."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle.recipe.base import RUNTIME, Section

Task = Literal["kind_of_object", "first_word_match", "heldout_bits_per_byte"]
TEXT_ONLY_TASK = "heldout_bits_per_byte"
"""The task that any held-out text can be measured by."""
BESIDE_TASKS = ("answers", "preferences")
"""What the report measures beside the tasks: greedy answers to held-out prompts, and held-out pairs."""


class EvaluationConfig(Section):
    """Tasks run by lm-eval for each model, and the pairwise win rate of DPO over SFT."""

    tasks: tuple[Task, ...] = ("kind_of_object", "first_word_match", "heldout_bits_per_byte")
    """Names of the task files that the project ships."""
    max_items: int = Field(default=300, gt=0)
    """Items per multiple-choice or generation task."""
    win_rate_prompts: int = Field(default=200, ge=20)
    max_new_tokens: int = Field(default=48, gt=0)
    context: int = Field(default=256, gt=1)
    """Window in tokens that the tasks see, at most: the sequence length that the models were trained with."""
    seed: int = 23
    batch: Annotated[int, RUNTIME] = Field(default=32, gt=0)
    processes: Annotated[int, RUNTIME] = Field(default=1, gt=0)
    """Each holds the whole model, on a GPU of its own, and measures a portion of the items."""
