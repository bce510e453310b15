"""TRL's trainers with this project's rendering, sample order, learning rate, guards and journal."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from lifecycle.recipe.preference_training import PreferenceTraining
from lifecycle.recipe.training import Optimization
from lifecycle.training.exits import NumericsError
from lifecycle.training.journal import Journal
from lifecycle.training.ownership import check_owner
from lifecycle.training.preference_checkpoints import seal
from lifecycle.training.preference_heldout import Measure, keep_best
from lifecycle.training.schedule import learning_rate
from lifecycle.training.stop import StopRequest

RENAMED: dict[str, str] = {"grad_norm": "gradient_norm"}
"""Metrics that the causal program reports under another name than transformers."""
COLLAPSED = (
    "both answers of the held-out pairs have become much less probable than under the reference: the model forgets how to "
    "answer at all. Raise beta, lower learning_rate or epochs, or add the term sft to loss_type"
)


def optimization(config: PreferenceTraining, steps: int) -> Optimization:
    """The learning rate's settings for a run of `steps` steps."""
    return Optimization(
        learning_rate=config.learning_rate, schedule=config.schedule, warmup_steps=math.ceil(config.warmup_share * steps)
    )


class Prepared(Trainer):
    """A TRL trainer on rows that are already rendered, in an order that is already drawn: mixed into TRL's own classes."""

    def __init__(self, *args: Any, config: PreferenceTraining, names: Callable[[int], list[str]], **kwargs: Any) -> None:
        """`names(step)` gives the rows of a step from 0, to name those of a batch that breaks."""
        self._config = config
        self._names = names
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # they are columns already: `lifecycle.training.reference`

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(rows)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A scheduler that only evaluates `lifecycle.training.schedule.learning_rate`."""
        if self.lr_scheduler is None:
            settings = optimization(self._config, num_training_steps)

            def factor(step: int) -> float:  # also asked for the step after the last one
                return (
                    learning_rate(settings, num_training_steps, min(step, num_training_steps - 1)) / settings.learning_rate
                )

            target: Any = optimizer or self.optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(target, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """TRL's loss; raises NumericsError before its gradient reaches the weights."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        value = loss[0] if isinstance(loss, tuple) else loss
        if not torch.isfinite(value):
            step = self.state.global_step
            raise NumericsError(f"the loss of step {step + 1} is {value.item()}; its rows are {self._names(step)}")
        return loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        check_owner()
        super()._save_checkpoint(*args, **kwargs)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Checkpoints carry no model card: they are never published."""


class PreferenceTrainer(Prepared, DPOTrainer):
    """DPO and its family."""


class LabelTrainer(Prepared, KTOTrainer):
    """KTO."""


class ScoreTrainer(Prepared, RewardTrainer):
    """Reward models."""


class Watch(TrainerCallback):
    """Writes the journal, measures held-out pairs, stops on values that are not finite, seals checkpoints, and turns a stop
    into a checkpoint."""

    def __init__(
        self,
        journal: Journal | None,
        config: PreferenceTraining,
        fingerprint: str,
        world_size: int,
        stop: StopRequest,
        measure: Measure,
    ) -> None:
        """`journal` is None on every rank but the first."""
        self.stopped = False
        self._measure = measure
        self._measured: dict[str, float] = {}
        self._stop = stop
        self._journal = journal
        self._config = config
        self._first: tuple[int, float, float] | None = None
        self._fingerprint = fingerprint
        self._world_size = world_size

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """All ranks agree on whether one of them was told to stop, so that they save the same step."""
        self._stop.hold()
        self.stopped = self._stop.asked
        if self._world_size > 1:
            flag = torch.tensor([float(self.stopped)], device=args.device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.stopped = bool(flag.item())
        if self.stopped:
            control.should_save = control.should_training_stop = True
        if state.global_step % self._config.validation_every == 0 or state.global_step == state.max_steps:
            self._validate(model, state.global_step, Path(str(args.output_dir)).parent)

    def _validate(self, model: Any, step: int, run_dir: Path) -> None:
        measured = self._measure(model)
        self._measured = measured.journal()
        if self._journal is None:
            return
        if self._config.choose == "best" and measured.rewards.pairs:
            keep_best(model, measured, step, run_dir)
        if measured.collapsed:
            self._journal.message(f"step {step}: {COLLAPSED}")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """One journal line per step, after the guards."""
        if not logs or "loss" not in logs:
            return
        values: dict[str, Any] = {
            str(RENAMED.get(name, name)): float(value) for name, value in logs.items() if isinstance(value, (int, float))
        }
        broken = {name: value for name, value in values.items() if not math.isfinite(value)}
        if broken:
            raise NumericsError(f"step {state.global_step}: {broken}")
        expected = learning_rate(optimization(self._config, state.max_steps), state.max_steps, state.global_step - 1)
        if not math.isclose(values["learning_rate"], expected, rel_tol=1e-6, abs_tol=1e-12):
            raise RuntimeError(f"step {state.global_step}: the learning rate is {values['learning_rate']}, not {expected}")
        if self._journal is not None:
            pace = self._pace(state, values.get("num_tokens", 0.0))
            self._journal.metrics(step=state.global_step, **values, **pace, **self._measured)
        self._measured = {}

    def _pace(self, state: TrainerState, tokens: float) -> dict[str, float]:
        """tokens_per_second and seconds_left, over all steps behind the first one of this process."""
        now = time.monotonic()
        if self._first is None:
            self._first = state.global_step, now, tokens
            return {}
        step, began, before = self._first
        seconds = max(now - began, 1e-6)
        left = (state.max_steps - state.global_step) * seconds / (state.global_step - step)
        return {"tokens_per_second": (tokens - before) / seconds, "seconds_left": left}

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal what every rank has finished writing."""
        if self._world_size > 1:
            dist.barrier()
        if self._journal is not None:
            check_owner()
            seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._fingerprint, self._world_size)
