"""The recipe's trainings on preferences: DPO and its family, KTO, and the reward model."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.adaptation import Adapter
from lifecycle.recipe.base import RUNTIME, Section

DpoLoss = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "apo_zero",
    "apo_down",
    "discopop",
    "sigmoid_norm",
    "sft",
]
"""By TRL's names; not its `aot`, which sorts a micro-batch, so that a runtime field would decide the result."""
SMOOTHED = ("robust", "exo_pair")
"""Losses that `label_smoothing` is a part of."""


class PreferenceTraining(Section):
    """What every training on preferences has: AdamW, a schedule, held-out pairs measured on the way."""

    answers: ClassVar[int] = 2
    """Answers in a row of its data: a pair has two."""

    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak, reached by a linear warm-up; then as `schedule` says, down to a tenth of it, a pure function of the step."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    epochs: float = Field(default=1.0, gt=0)
    global_batch: int = Field(default=16, gt=0)
    """Pairs (KTO: labelled answers) per optimizer step, over all processes and accumulation."""
    max_length: int = Field(default=256, gt=0)
    """Longest prompt and answer together, in tokens; longer ones are left out and counted."""
    validation_every: int = Field(default=50, gt=0)
    """Steps between two measurements of the held-out pairs; the last step is always followed by one."""
    choose: Literal["last", "best"] = "last"
    """Which weights become the model. `best` has the highest held-out accuracy (of equal ones: the lowest loss) among those
    measured; chosen by these pairs, its accuracy on them is a little too good."""
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "fp32"
    """`bf16` runs the forward pass under autocast; weights, optimizer and log-probability sums stay float32."""
    processes: Annotated[int, RUNTIME] = Field(default=1, gt=0)
    micro_batch: Annotated[int, RUNTIME] = Field(default=8, gt=0)
    checkpoint_every: Annotated[int, RUNTIME] = Field(default=50, gt=0)

    @model_validator(mode="after")
    def _batch_divides(self) -> "PreferenceTraining":
        if self.global_batch % (self.processes * self.micro_batch):
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of processes x micro_batch "
                f"({self.processes} x {self.micro_batch})"
            )
        return self

    def steps(self, rows: int) -> int:
        """Optimizer steps over so many pairs or labelled answers."""
        return max(1, math.ceil(rows * self.epochs / self.global_batch))


class AlignmentTraining(PreferenceTraining):
    """A training of the language model against itself as it was: the reference."""

    beta: float = Field(default=0.1, gt=0)
    """How much leaving the reference costs (IPO's tau)."""
    adapter: Adapter | None = None
    """Train a low-rank adapter in place of the weights; the artifact holds the merged model, and the adapter beside it. The
    reference is the model without it."""

    @model_validator(mode="after")
    def _adapter_is_of_whole_weights(self) -> "AlignmentTraining":
        if self.adapter and self.adapter.kind == "qlora":
            raise ValueError("adapter.kind qlora: this training holds its weights in float32; use lora or dora")
        return self


class DpoConfig(AlignmentTraining):
    """Direct preference optimization (Rafailov et al. 2023) with TRL's trainer."""

    loss_type: tuple[DpoLoss, ...] = Field(default=("sigmoid",), min_length=1)
    """Terms of the loss; several are summed with `loss_weights`, as `[sigmoid, sft]` (RPO, Pang et al. 2024)."""
    loss_weights: tuple[float, ...] | None = None
    """One for each term; null: 1 each."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs that are thought to be the wrong way round: `robust` (Chowdhury et al. 2024) and `exo_pair`."""

    @model_validator(mode="after")
    def _terms_fit(self) -> "DpoConfig":
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_type):
            raise ValueError(f"loss_weights has {len(self.loss_weights)} entries for {len(self.loss_type)} loss types")
        if self.loss_weights is not None and not all(weight > 0 for weight in self.loss_weights):
            raise ValueError(f"loss_weights {list(self.loss_weights)}: each must be above 0; leave a term of weight 0 out")
        if len(set(self.loss_type)) != len(self.loss_type):
            raise ValueError(f"loss_type {list(self.loss_type)}: a term is given twice; give it once, with its weight")
        if self.loss_type == ("sft",):
            raise ValueError("loss_type sft alone never looks at the rejected answers; give it beside another term")
        smoothed = [name for name in self.loss_type if name in SMOOTHED]
        if self.label_smoothing and not smoothed:
            raise ValueError(f"label_smoothing is a part of {' and '.join(SMOOTHED)} alone, not of {list(self.loss_type)}")
        if smoothed and not self.label_smoothing:
            raise ValueError(f"loss_type {smoothed[0]}: needs label_smoothing above 0")
        return self


class KtoConfig(AlignmentTraining):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024) with TRL's trainer, from answers that were wanted or not."""

    answers: ClassVar[int] = 1

    global_batch: int = Field(default=8, gt=0)
    """Answers per optimizer step: processes times micro-batch."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    wanted_weight: float = Field(default=1.0, gt=0)
    """Weight of the loss of wanted answers; the paper advises it to make up for unequal numbers of the two kinds."""
    unwanted_weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _divergence_of_a_whole_batch(self) -> "KtoConfig":
        # TRL estimates z0 over a micro-batch on all ranks: with accumulation a runtime field would decide the result.
        if self.global_batch != self.processes * self.micro_batch or self.micro_batch < 2:
            raise ValueError(
                f"global_batch {self.global_batch}: KTO estimates its divergence over one pass, so it must be "
                f"processes x micro_batch ({self.processes} x {self.micro_batch}), with a micro_batch of 2 or more"
            )
        return self


class RewardModelConfig(PreferenceTraining):
    """A sequence classifier with one output, from the SFT model, by the loss of Bradley and Terry (Ouyang et al. 2022)."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak, reached by a linear warm-up; then as `schedule` says, down to a tenth of it, a pure function of the step."""
