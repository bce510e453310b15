"""The recipe's tokenizer, model, and the settings of the causal program (pretraining and SFT)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

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
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)


class CausalTraining(Section):
    """One run of the causal program."""

    steps: int = Field(gt=0)
    global_batch: int = Field(gt=0)
    """Packed sequences per optimizer step, over all processes and accumulation."""
    sequence_length: int = Field(gt=1)
    optimization: Optimization
    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    processes: Annotated[int, RUNTIME] = Field(default=2, gt=0)
    micro_batch: Annotated[int, RUNTIME] = Field(default=8, gt=0)
    zero_stage: Annotated[int, RUNTIME] = Field(default=1, ge=0, le=3)
    compile: Annotated[bool, RUNTIME] = False
    checkpoint_every: Annotated[int, RUNTIME] = Field(default=100, gt=0)
    keep_checkpoints: Annotated[int, RUNTIME] = Field(default=2, gt=0)
    log_every: Annotated[int, RUNTIME] = Field(default=10, gt=0)

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


class BaseModelConfig(Section):
    """The pretrained model."""

    architecture: Architecture = Architecture()
    training: CausalTraining


class SftConfig(Section):
    """Supervised fine-tuning from the base model."""

    training: CausalTraining
