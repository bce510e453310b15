"""The recipe's evaluation: what every model is measured by."""

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.corpora import FilesRead
from lifecycle.recipe.evaluation_sets import ContaminationConfig, HealthConfig, SafetyConfig, SftControls
from lifecycle.recipe.preferences import EndpointJudge, RewardJudge

TEXT_ONLY_TASK = "heldout_bits_per_byte"
"""The task that any held-out text can be measured by."""
DOCUMENTED_TASKS = ("kind_of_object", "first_word_match")
"""Tasks whose items are made from held-out documentation strings."""
CANDIDATES = 2_000
"""Items of each kind that `heldout_text` keeps from training, and an evaluation draws its own from."""
BESIDE_TASKS = ("answers", "preferences")
"""What the report measures beside the tasks: greedy answers to held-out prompts, and held-out pairs."""

FURTHER = ("health", "health_seeds", "health_turns", "safety", "safety_judge", "win_rate")
"""What is measured beside the tasks where the recipe asks for it."""
REGISTERED = re.compile(r"champion|previous|[^@/\s]+@[^@/\s]+|[^@/\s]+/\d+")
ComparisonJudge = Annotated[RewardJudge | EndpointJudge, Field(discriminator="kind")]


class EvaluationTask(Section):
    """One lm-eval task; a recipe may write its name alone."""

    task: str = Field(min_length=1)
    """A task that the project ships, or one (or a group, or a tag) that lm-eval knows; with `path`, the task of that file.
    The report calls it so."""
    path: Annotated[str | None, RUNTIME] = None
    """A task file (YAML as lm-eval reads it). What it includes and its data lie in its folder or below; all of them count
    by their content. `${NAME}` is taken from the environment."""
    fewshot: int | None = Field(default=None, ge=0)
    """Worked examples before each item; without it, as many as the task file says."""
    chat_template: bool | None = None
    """Whether items are put through the chat template; without it, as the task file says, else for every model but base."""
    max_items: int | None = Field(default=None, gt=0)
    """Items measured, drawn by the seed; without it, all."""
    metric: str | None = None
    """The metric that stands for the task where one figure is shown; without it, the task file's first. All are kept."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"task": value} if isinstance(value, str) else value


class EvaluationConfig(Section):
    """Tasks run by lm-eval for each model, and the pairwise win rate of DPO over SFT."""

    tasks: tuple[EvaluationTask, ...] = tuple(EvaluationTask(task=name) for name in (*DOCUMENTED_TASKS, TEXT_ONLY_TASK))
    allow_code_execution: bool = False
    """Let tasks run the programs that models write (HumanEval), in a sandbox that docs/evaluation-tasks.md describes."""
    allow_task_python: bool = False
    """Let a task file of `path` name Python functions beside it (`!function`); they run as the evaluation itself does."""
    max_items: int = Field(default=300, gt=0, le=CANDIDATES)
    """Items per task that is made from the held-out text; more of them remake no training."""
    win_rate_prompts: int = Field(default=200, ge=20, le=CANDIDATES)
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
    sft_controls: SftControls | None = None
    """Where it is given, the decisions of fine-tuning (phases, selection) are compared with chance; each costs trainings."""
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

    @model_validator(mode="after")
    def _each_task_once(self) -> "EvaluationConfig":
        names = [each.task for each in self.tasks]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"tasks: {repeated} stand more than once; the report tells tasks apart by name")
        taken = sorted(set(names) & {*BESIDE_TASKS, *FURTHER})
        if taken:
            raise ValueError(f"tasks: {taken} are names of what is measured beside the tasks")
        return self
