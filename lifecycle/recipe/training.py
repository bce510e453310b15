"""The recipe's tokenizer, model, and the settings of the causal program (pretraining and SFT)."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from lifecycle.recipe.adaptation import Adapter, StartingModel
from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.tokens.templates import check_choice


class TokenizerConfig(Section):
    """Byte-level BPE trained on the cleaned corpus, or a base model's tokenizer."""

    base: str | None = None
    """A Hugging Face tokenizer's folder or `tokenizer.json`, or a SentencePiece `.model`, used in place of training one; its
    content counts, not where it lies. `$NAME` is taken from the environment."""
    new_pieces: int = Field(default=0, ge=0)
    """Pieces learnt from the corpus and added to `base` (byte-pair tokenizers), for continued pretraining."""
    vocab_size: int = Field(default=4096, ge=300, le=2**32)
    """All entries, special tokens included."""
    dtype: Literal["auto", "uint16", "uint32"] = "auto"
    """Width of a token in the memmaps; `auto` takes the narrowest that holds the vocabulary."""
    training_megabytes: float = Field(default=20.0, gt=0)
    """Text sampled for training the merges, evenly over the sources' documents."""
    chat_template: Annotated[str, AfterValidator(check_choice)] = "chatml"
    """Name of a built-in template (the files in lifecycle/tokens/templates), or the path of your own, ending in `.jinja`;
    its content counts, not where it lies. `$NAME` is taken from the environment."""
    seed: int = 0

    @model_validator(mode="after")
    def _base_decides_the_size(self) -> "TokenizerConfig":
        if self.base is not None and "vocab_size" in self.model_fields_set:
            raise ValueError("vocab_size is that of base; leave it out, and say new_pieces to add some")
        if self.base is None and self.new_pieces:
            raise ValueError("new_pieces are added to a base, and there is none; for a new tokenizer say vocab_size")
        return self

    @model_validator(mode="after")
    def _dtype_holds_vocabulary(self) -> "TokenizerConfig":
        if self.dtype == "uint16" and self.vocab_size > 65_536:
            raise ValueError(f"vocab_size {self.vocab_size} does not fit dtype uint16 (65,536 ids); use uint32 or auto")
        return self


class Architecture(Section):
    """A Llama-style decoder."""

    hidden_size: int = Field(default=128, gt=0)
    layers: int = Field(default=4, gt=0)
    heads: int = Field(default=4, gt=0)
    kv_heads: int = Field(default=4, gt=0)
    intermediate_size: int = Field(default=384, gt=0)
    tie_embeddings: bool = True
    rope_theta: float = 10_000.0
    max_positions: int = Field(default=1024, gt=0)

    @model_validator(mode="after")
    def _heads_divide(self) -> "Architecture":
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads a multiple of kv_heads")
        return self


class Optimization(Section):
    """AdamW and a learning rate that is a pure function of the step."""

    learning_rate: float = Field(gt=0)
    min_learning_rate_share: float = Field(default=0.1, ge=0, le=1)
    """Where cosine, linear and wsd end, as a share of the peak."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """After the warm-up: down over all steps (cosine, linear), or the peak until the last part (wsd), or to the end."""
    warmup_steps: int = Field(default=20, ge=0)
    decay_share: float = Field(default=0.2, gt=0, le=1)
    """With wsd: the share of all steps, at the end, in which the rate falls."""
    decay_form: Literal["sqrt", "linear", "cosine"] = "sqrt"
    """With wsd: 1 - sqrt, linear or cosine, each from the peak to the minimum."""
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _decay_is_that_of_wsd(self) -> "Optimization":
        fields = type(self).model_fields
        stated = [name for name in ("decay_share", "decay_form") if getattr(self, name) != fields[name].default]
        if stated and self.schedule != "wsd":
            raise ValueError(f"{', '.join(stated)} belong to schedule wsd, and this one is {self.schedule}")
        return self


DECIDED_BY_THE_RECIPE = {
    "optimizer",
    "scheduler",
    "fp16",
    "bf16",
    "data_types",
    "gradient_clipping",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "checkpoint",
}
"""Sections that no engine preset may bring: a second scheduler once slid the learning rate to 0."""


class Validation(Section):
    """Bits per byte on text that is not trained on, and of conversations the loss of each task and language. All of it is
    identity, because it may decide the result."""

    every: int = Field(gt=0)
    """Steps between two validations; the last step is always followed by one."""
    sequences: int = Field(default=256, gt=0)
    """Most packed sequences that are measured, spread evenly over the memmap's `validation`."""
    patience: int | None = Field(default=None, gt=0)
    """Early stopping: end the run after so many validations in a row without a new best; null never does."""
    choose: Literal["last", "best"] = "last"
    """Which weights become the model. `best` chooses on held-out text, so its figures there are a little too good."""


class Guards(Section):
    """What stops, or only reports, a run that goes wrong. What is not finite, zero or without labels always stops it."""

    spike_factor: float = Field(default=3.0, gt=1)
    """A loss so many times the median of the last 50 is a spike."""
    on_spike: Literal["report", "stop", "skip"] = "report"
    """Name the batch's documents and go on; or end there; or start again from the last checkpoint without that batch."""
    max_skips: int = Field(default=5, gt=0)
    """With `skip`: more spikes than this end the run."""
    explosion_factor: Annotated[float, RUNTIME] = Field(default=1000.0, gt=1)
    """A gradient norm so many times the median of the last 50 ends the run before the step is saved."""
    stall_seconds: Annotated[float, RUNTIME] = Field(default=900.0, gt=0)
    """A rank that reports no progress within a step for so long ends the run."""
    disk_warn_share: Annotated[float, RUNTIME] = Field(default=0.80, gt=0, le=1)
    """Used share of the run directory's disk from which on the journal warns."""
    disk_stop_share: Annotated[float, RUNTIME] = Field(default=0.95, gt=0, le=1)
    """Used share from which on the run saves a checkpoint and ends."""
    max_epochs: Annotated[float | None, RUNTIME] = Field(default=None, gt=0)
    """More passes over the data than this are refused before the run starts; null allows any number."""
    halve_micro_batch: Annotated[bool, RUNTIME] = False
    """Out of memory: start again with half the micro-batch and twice the accumulation, at an equal global batch."""


class CausalTraining(Section):
    """One run of the causal program."""

    steps: int = Field(gt=0)
    global_batch: int = Field(gt=0)
    """Packed sequences per optimizer step, over all processes and accumulation."""
    sequence_length: int = Field(gt=1)
    optimization: Optimization
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    z_loss: float = Field(default=0.0, ge=0)
    """Factor of the squared logarithm of the softmax's normalizer, added to the loss; 1e-4 keeps logits from drifting."""
    validation: Validation | None = None
    guards: Guards = Guards()
    adapter: Adapter | None = None
    """Train a low-rank adapter in place of the weights; the artifact holds the merged model, and the adapter beside it."""
    freeze: tuple[str, ...] = ()
    """Weights that stay as they are: patterns of parameter names, as in `model.embed_tokens.*` or `*.layers.0.*`."""
    processes: Annotated[int, RUNTIME] = Field(default=2, gt=0)
    micro_batch: Annotated[int, RUNTIME] = Field(default=8, gt=0)
    zero_stage: Annotated[int, RUNTIME] = Field(default=1, ge=0, le=3)
    deepspeed: Annotated[dict[str, Any], RUNTIME] = Field(default_factory=dict)
    """Further engine settings, or the path of a JSON file with them (`deploy/deepspeed`)."""
    compile: Annotated[bool | None, RUNTIME] = None
    """torch.compile: the blocks on a GPU, the whole forward pass on the CPU; null does it on a GPU alone."""
    liger: Annotated[bool | None, RUNTIME] = None
    """Liger's kernels on a GPU; null uses them where liger-kernel is installed."""
    checkpoint_activations: Annotated[int, RUNTIME] = Field(default=0, ge=0)
    """Every so many blocks one keeps only its input and computes the rest again in the backward pass: 0 none, 1 all."""
    checkpoint_every: Annotated[int, RUNTIME] = Field(default=100, gt=0)
    keep_checkpoints: Annotated[int, RUNTIME] = Field(default=2, gt=0)
    log_every: Annotated[int, RUNTIME] = Field(default=10, gt=0)

    @field_validator("deepspeed", mode="before")
    @classmethod
    def _read_preset(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{value} is not a JSON file that can be read: {error}") from error

    @model_validator(mode="after")
    def _preset_leaves_the_recipe_alone(self) -> "CausalTraining":
        taken = sorted(set(self.deepspeed) & DECIDED_BY_THE_RECIPE)
        if taken:
            raise ValueError(f"deepspeed: {', '.join(taken)} must not be set here; the recipe's own fields decide that")
        stage = self.deepspeed.get("zero_optimization", {}).get("stage", self.zero_stage)
        if stage != self.zero_stage:
            raise ValueError(f"deepspeed: zero_optimization.stage is {stage} there and zero_stage {self.zero_stage} here")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> "CausalTraining":
        if self.global_batch % (self.processes * self.micro_batch):
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of processes x micro_batch "
                f"({self.processes} x {self.micro_batch})"
            )
        return self

    @model_validator(mode="after")
    def _zero_keeps_master_weights(self) -> "CausalTraining":
        # Without ZeRO, DeepSpeed sends bf16 through its fp16 wrapper, whose losses differ from those of every stage.
        if self.zero_stage == 0 and self.precision == "bf16":
            raise ValueError("zero_stage 0 works with precision fp32 only; bf16 needs stage 1, 2 or 3")
        return self

    @model_validator(mode="after")
    def _adapter_fits(self) -> "CausalTraining":
        if self.adapter and self.freeze:
            raise ValueError("freeze: with an adapter all weights of the model are frozen already; leave one of them out")
        if self.adapter and self.adapter.kind == "qlora" and self.zero_stage == 3:
            raise ValueError("adapter.kind qlora: weights of 4 bits cannot be partitioned; use zero_stage 1 or 2")
        return self


class BaseModelConfig(Section):
    """The pretrained model: from random weights, or from a given model, trained on or taken as it is."""

    architecture: Architecture = Architecture()
    """The shape of a new model; with `start` it is that model's own and may not be stated."""
    start: StartingModel | None = None
    """Go on from this model in place of random weights (continued pretraining)."""
    training: CausalTraining | None = None
    """Null, which needs `start`: the given model is the base model as it is, and SFT starts from it."""

    @model_validator(mode="after")
    def _begins_somewhere(self) -> "BaseModelConfig":
        if self.training is None and self.start is None:
            raise ValueError("training: Field required (only a base model with `start` may go without)")
        if self.start and "architecture" in self.model_fields_set:
            raise ValueError("architecture: a model with `start` brings its own; leave one of them out")
        if self.training and self.training.adapter and self.start is None:
            raise ValueError("training.adapter: an adapter needs a model to adapt; give `start`")
        return self

    @property
    def max_positions(self) -> int | None:
        """Positions of a new model; those of a given one are looked at when it is read."""
        return None if self.start else self.architecture.max_positions
