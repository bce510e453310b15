"""The recipe's evaluation and the gate that a champion must pass."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.corpora import FilesRead
from lifecycle.recipe.evaluation_sets import ContaminationConfig, HealthConfig, SafetyConfig
from lifecycle.recipe.preferences import EndpointJudge, RewardJudge

Task = Literal["kind_of_object", "first_word_match", "heldout_bits_per_byte"]
TEXT_ONLY_TASK = "heldout_bits_per_byte"
"""The task that any held-out text can be measured by."""
BESIDE_TASKS = ("answers", "preferences")
"""What the report measures beside the tasks: greedy answers to held-out prompts, and held-out pairs."""

FURTHER = ("health", "health_seeds", "health_turns", "safety", "safety_judge", "win_rate")
"""What is measured beside the tasks where the recipe asks for it."""
REGISTERED = re.compile(r"champion|previous|[^@/\s]+@[^@/\s]+|[^@/\s]+/\d+")
ComparisonJudge = Annotated[RewardJudge | EndpointJudge, Field(discriminator="kind")]


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
    health: HealthConfig | None = None
    """Where it is given, generation health is measured on a set of questions."""
    safety: SafetyConfig | None = None
    """Where it is given, refusals of harmful and of harmless prompts are counted."""
    contamination: ContaminationConfig | None = None
    """Where it is given, every set is looked for in what the models were trained on."""
    compare_with: tuple[str, ...] = ()
    """Registered versions that the last model is compared with: `champion` or `previous` of the same model, `NAME@alias` or
    `NAME/VERSION`. One that does not exist yet is left out where it is an alias."""
    judges: tuple[ComparisonJudge, ...] = ()
    """Who compares the last model's answers with those of SFT and of `compare_with`, beside the reference score."""
    batch: Annotated[int, RUNTIME] = Field(default=32, gt=0)
    processes: Annotated[int, RUNTIME] = Field(default=1, gt=0)
    """Each holds the whole model, on a GPU of its own, and measures a portion of the items."""

    def files_read(self) -> tuple[FilesRead, ...]:
        """Prompt files that an evaluation reads beside its inputs, counted by content."""
        return tuple(file for section in (self.health, self.safety) if section for file in section.files_read())

    def models_read(self) -> tuple[FilesRead, ...]:
        """The reward model of a judge, where the recipe names its folder: what comparisons read beside their inputs."""
        rewards = (judge.path for judge in self.judges if isinstance(judge, RewardJudge) and judge.path)
        return tuple(FilesRead(name="evaluation.judges.reward_model", path=path) for path in rewards)

    def own_reward_model(self) -> bool:
        """Whether the recipe's own `reward_model` is a judge."""
        return any(isinstance(judge, RewardJudge) and judge.path is None for judge in self.judges)

    @model_validator(mode="after")
    def _judges_are_of_different_kinds(self) -> "EvaluationConfig":
        kinds = [judge.kind for judge in self.judges]
        if len(set(kinds)) != len(kinds):
            raise ValueError(f"judges: each kind once, got {kinds}")
        for each in self.compare_with:
            if not REGISTERED.fullmatch(each):
                raise ValueError(f"compare_with: {each!r} is neither champion, previous, NAME@alias nor NAME/VERSION")
        return self


class Gate(Section):
    """A condition on the report of one model version; a blocking gate must hold before promotion."""

    metric: str
    """`<task>/<metric>` as the report names it."""
    model: Literal["base", "sft", "dpo"] = "dpo"
    at_least: float | None = None
    at_most: float | None = None
    blocking: bool = True

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Gate":
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"gate on {self.metric!r}: give at_least, at_most or both")
        return self

    def condition(self) -> str:
        """The gate in words."""
        return " and ".join(
            f"{words} {limit:g}"
            for words, limit in (("at least", self.at_least), ("at most", self.at_most))
            if limit is not None
        )
