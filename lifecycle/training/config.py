"""What a causal job is told, and which part of it decides the result."""

from typing import Any, Literal

from pydantic import ValidationError, model_validator

from lifecycle.jobs import TrainingJob
from lifecycle.recipe.base import Section, identity
from lifecycle.recipe.fine_tuning import FineTuning
from lifecycle.recipe.training import Architecture, CausalTraining
from lifecycle.training.exits import ConfigurationError

TEXT = "text"
"""Name of the input with the pretraining memmap that fine-tuning mixes in."""


class CausalJobConfig(Section):
    """The `config` of a job whose program is `lifecycle.training.causal`.

    The job's inputs are `memmap`, and either `tokenizer` (a new model) or `model` (training goes on from it); a model that
    did not come with the data's tokenizer needs both. `text` is the pretraining memmap that fine-tuning mixes in.
    """

    kind: Literal["pretrain", "sft"]
    """How documents are packed: `pretrain` fills sequences and cuts documents, `sft` keeps each document whole."""
    training: CausalTraining
    architecture: Architecture | None = None
    """The shape of a new model; None when training goes on from `model`."""
    fine_tuning: FineTuning = FineTuning()
    """How conversations are trained on; nothing of it may be stated for `pretrain`."""

    @model_validator(mode="after")
    def _pretraining_is_plain(self) -> "CausalJobConfig":
        if self.kind == "pretrain" and self.fine_tuning != FineTuning():
            raise ValueError("fine_tuning: tasks, phases and mixed batches are for conversations, and this job pretrains")
        return self

    @model_validator(mode="after")
    def _fits_positions(self) -> "CausalJobConfig":
        if self.architecture and self.training.sequence_length > self.architecture.max_positions:
            raise ValueError(
                f"sequence_length {self.training.sequence_length} exceeds max_positions {self.architecture.max_positions}"
            )
        return self


def read_config(job: TrainingJob) -> CausalJobConfig:
    """The job's config, checked against its inputs.

    Raises:
        ConfigurationError: a field is unknown, missing or wrong, or the inputs do not fit the kind of start.
    """
    try:
        config = CausalJobConfig.model_validate(job.config)
    except ValidationError as error:
        lines = [f"  config.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError("the job's config is not usable:\n" + "\n".join(lines)) from error
    start = "tokenizer" if config.architecture else "model"
    for name in ("memmap", start, *([TEXT] if config.fine_tuning.pretraining else [])):
        if name not in job.inputs:
            raise ConfigurationError(f"inputs.{name} is missing; this job has {sorted(job.inputs)}")
    if job.processes != config.training.processes:
        raise ConfigurationError(
            f"the job runs {job.processes} processes, its config.training.processes says {config.training.processes}"
        )
    return config


def checkpoint_identity(job: TrainingJob, config: CausalJobConfig) -> dict[str, Any]:
    """What a checkpoint must have in common with the job that continues it, as flat JSON data."""
    decided: dict[str, Any] = {"fingerprint": job.fingerprint}
    _flatten("config", identity(config), decided)
    return decided


def _flatten(prefix: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(f"{prefix}.{key}", item, into)
    else:
        into[prefix] = value
