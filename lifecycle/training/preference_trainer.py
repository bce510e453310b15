"""TRL's DPO trainer with this project's rendering, sample order, learning rate, guards and journal."""

import logging
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import DPOTrainer

from lifecycle.recipe.alignment import DpoConfig
from lifecycle.training.journal import Journal
from lifecycle.training.preference_checkpoints import seal

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0


class NonFiniteError(Exception):
    """A loss, gradient norm or reward became infinite or not a number."""


def learning_rate(step: int, steps: int, config: DpoConfig) -> float:
    """Learning rate of step `step` (0 is the first) of `steps`: linear warm-up, then the recipe's schedule to zero."""
    warmup = math.ceil(config.warmup_share * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warmup) / max(1, steps - warmup)
    share = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
    return config.learning_rate * share


class PreferenceTrainer(DPOTrainer):
    """DPOTrainer on pairs that are already rendered, in an order that is already drawn."""

    def __init__(self, *args: Any, config: DpoConfig, pair_ids: list[list[str]], **kwargs: Any) -> None:
        """`pair_ids` holds the pairs of each step, to name those of a batch that breaks."""
        self._config = config
        self._pair_ids = pair_ids
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A scheduler that only evaluates `learning_rate(step)`."""
        if self.lr_scheduler is None:
            peak = self._config.learning_rate
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: learning_rate(step, num_training_steps, self._config) / peak
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """TRL's loss; raises NonFiniteError before its gradient reaches the weights."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        value = loss[0] if isinstance(loss, tuple) else loss
        if not torch.isfinite(value):
            step = self.state.global_step
            raise NonFiniteError(f"the loss of step {step + 1} is {value.item()}; its pairs are {self._pair_ids[step]}")
        return loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Checkpoints carry no model card: they are never published."""


class Watch(TrainerCallback):
    """Writes the journal, stops on values that are not finite, seals checkpoints, and turns SIGTERM into a checkpoint."""

    def __init__(self, journal: Journal | None, config: DpoConfig, fingerprint: str, world_size: int) -> None:
        """`journal` is None on every rank but the first."""
        self.preempted = False
        self._journal = journal
        self._config = config
        self._fingerprint = fingerprint
        self._world_size = world_size
        self._line_at = 0.0
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self.preempted = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """All ranks agree on whether one of them was told to stop, so that they save the same step."""
        if self._world_size > 1:
            flag = torch.tensor([float(self.preempted)], device=args.device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.preempted = bool(flag.item())
        if self.preempted:
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """One journal line per step, after the guards."""
        if not logs or "loss" not in logs:
            return
        values = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
        broken = {name: value for name, value in values.items() if not math.isfinite(value)}
        if broken:
            raise NonFiniteError(f"step {state.global_step}: {broken}")
        expected = learning_rate(state.global_step - 1, state.max_steps, self._config)
        if not math.isclose(values["learning_rate"], expected, rel_tol=1e-6, abs_tol=1e-12):
            raise RuntimeError(f"step {state.global_step}: the learning rate is {values['learning_rate']}, not {expected}")
        if self._journal is not None:
            self._journal.metrics(step=state.global_step, **values)
            self._say(state, values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal what every rank has finished writing."""
        if self._world_size > 1:
            dist.barrier()
        if self._journal is not None:
            seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._fingerprint, self._world_size)

    def _say(self, state: TrainerState, values: dict[str, float]) -> None:
        last = state.global_step == state.max_steps
        if not last and time.monotonic() - self._line_at < SECONDS_BETWEEN_LINES:
            return
        self._line_at = time.monotonic()
        logger.info(
            "step %d of %d: loss %.4f, reward accuracy %.2f, margin %.3f",
            state.global_step,
            state.max_steps,
            values["loss"],
            values.get("rewards/accuracies", math.nan),
            values.get("rewards/margins", math.nan),
        )
