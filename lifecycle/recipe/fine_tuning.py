"""The recipe's supervised fine-tuning: what is held out, how tasks are balanced, phases, and text mixed in."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section
from lifecycle.recipe.training import CausalTraining


class HeldoutConversations(Section):
    """Conversations that are validated on and never trained on: chosen by a hash of what they were made from."""

    share: float = Field(default=0.02, gt=0, lt=1)
    seed: int = 19


class Coba(Section):
    """Task weights from how fast each task's validation loss falls (Gong et al. 2024, CoBa: convergence balancer)."""

    warmup: int = Field(default=100, ge=0)
    """Steps with equal weights."""
    every: int = Field(default=1, gt=0)
    """Steps between two measurements of the tasks' validation losses, from step 0 on."""
    history: int = Field(default=200, ge=2)
    """Measurements that slopes are fitted to, and slopes that are compared."""
    temperature: float = Field(default=5.0, gt=0)
    """Tau: how soon a worst task that no longer converges moves the weights from relative to absolute convergence."""
    conversations: int = Field(default=16, gt=0)
    """Held-out conversations of each task that are measured: always the same ones."""


class TaskBalance(Section):
    """What a conversation's tokens weigh in the loss (MFTCoder, Liu et al. 2023)."""

    per: Literal["token", "sample", "task", "task_sample"] = "token"
    """The loss is the mean over all trained tokens (case 1); the mean of the conversations' means (case 2); the mean of the
    tasks' means over tokens (case 3); the mean of the tasks' means of their conversations' means (case 4). All of them over
    the global batch, whatever it is split into."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of a task in these means; 1 for tasks not named. A weight of 0 trains nothing of the task."""
    coba: Coba | None = None
    """Let the tasks' convergence decide their weights; needs `heldout`, and `per: task` or `task_sample`."""

    @model_validator(mode="after")
    def _one_decides(self) -> "TaskBalance":
        negative = sorted(task for task, weight in self.weights.items() if weight < 0)
        if negative:
            raise ValueError(f"weights: those of {', '.join(negative)} are below 0")
        if self.coba and self.weights:
            raise ValueError("weights and coba both decide the tasks' weights; leave one of them out")
        if self.coba and not self.by_task:
            raise ValueError(f"coba weighs the means of tasks, and the loss is per {self.per}; say per: task or task_sample")
        return self

    @property
    def by_task(self) -> bool:
        """Whether each task is a mean of its own."""
        return self.per in ("task", "task_sample")

    @property
    def by_sample(self) -> bool:
        """Whether each conversation is a mean of its own."""
        return self.per in ("sample", "task_sample")


class Phases(Section):
    """Conversations one phase of difficulty after the other (Pang et al. 2024, Phased Instruction Fine-Tuning).

    The run's steps are shared out in proportion to what the phases hold, so that each is passed over equally often; the
    learning rate is that of one run. No packed sequence holds conversations of two phases.
    """

    by: Literal["difficulty", "answer_tokens"] = "answer_tokens"
    """The difficulty that `instruction_scores` measured, where the recipe has this stage, else the records' own; or
    the number of their trained tokens."""
    order: Literal["rising", "random"] = "rising"
    """`random` is the control: phases of the same sizes, filled with conversations drawn by the training's seed."""
    into: Annotated[int, Field(ge=2)] | Annotated[tuple[float, ...], Field(min_length=1)] = 3
    """A number of phases with equally many conversations; or, as in [2.5, 3.5], the values at which the next one begins."""

    @model_validator(mode="after")
    def _boundaries_rise(self) -> "Phases":
        if isinstance(self.into, tuple) and list(self.into) != sorted(set(self.into)):
            raise ValueError(f"into: the values at which phases begin must rise, these are {list(self.into)}")
        return self


class PretrainingShare(Section):
    """Sequences of the pretraining text in every batch of fine-tuning."""

    share: float = Field(gt=0, lt=1)
    """Share of the sequences of each global batch; it must give a whole number of them."""
    weight: float = Field(default=1.0, gt=0)
    """What a token of this text (or a document, where the loss is per sample) counts against one of the conversations;
    where the loss is per task, the text is one more task, and this is its weight against 1."""


class FineTuning(Section):
    """How conversations are trained on; nothing here can be said of pretraining."""

    balance: TaskBalance = TaskBalance()
    phases: Phases | None = None
    """Train in phases of rising difficulty; null mixes all conversations."""
    pretraining: PretrainingShare | None = None
    """Mix sequences of the pretraining text into each batch."""


class SftConfig(FineTuning):
    """Supervised fine-tuning from the base model."""

    heldout: HeldoutConversations | None = None
    """Keep conversations for validation (`training.validation`, `balance.coba`); null trains on all."""
    training: CausalTraining

    @model_validator(mode="after")
    def _validates_on_something(self) -> "SftConfig":
        wanted = {"training.validation": self.training.validation, "balance.coba": self.balance.coba}
        missing = [name for name, section in wanted.items() if section]
        if missing and self.heldout is None:
            raise ValueError(f"{', '.join(missing)} measures held-out conversations; say `heldout: {{share: 0.02}}`")
        return self

    @model_validator(mode="after")
    def _batch_divides_in_two(self) -> "SftConfig":
        if self.pretraining:
            pretraining_sequences(self.pretraining.share, self.training.global_batch)
        return self


def pretraining_sequences(share: float, global_batch: int) -> int:
    """How many sequences of a global batch are pretraining text.

    Raises:
        ValueError: not a whole number of them, or none or all; the message gives shares that work.
    """
    exact = share * global_batch
    count = round(exact)
    if abs(exact - count) > 1e-6 or not 0 < count < global_batch:
        near = sorted({min(max(1, number), global_batch - 1) for number in (int(exact), int(exact) + 1)})
        fitting = " or ".join(f"{number / global_batch:g}" for number in near)
        raise ValueError(f"pretraining.share {share:g} of {global_batch} sequences is not a whole number; use {fitting}")
    return count
