"""What the programs that train on preferences share: begin, train with TRL until the end or a stop, export."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import PrinterCallback

from lifecycle.jobs import TrainingJob
from lifecycle.plots import over_steps, panels, plot
from lifecycle.pretrained import device
from lifecycle.recipe.preference_training import AlignmentTraining, PreferenceTraining
from lifecycle.training import distributed
from lifecycle.training.adapters import DIRECTORY, Adapted, adapt, check_adapter, merge, save_adapter
from lifecycle.training.batches import Batch
from lifecycle.training.exits import Preempted
from lifecycle.training.export import copy_tokenizer, verify
from lifecycle.training.guards import explain_memory
from lifecycle.training.journal import Journal, read_metrics
from lifecycle.training.ownership import check_owner
from lifecycle.training.preference_checkpoints import latest, remove_unusable, step_of
from lifecycle.training.preference_heldout import Measure, Measured, best_so_far, take_best
from lifecycle.training.preference_trainer import Prepared, Watch
from lifecycle.training.stop import StopRequest

ZERO_1 = {
    "zero_optimization": {"stage": 1},
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
}
"""No optimizer and no scheduler block: both are ours, so that no second schedule exists."""
PROBE_TOKENS = 32
REFERENCE_ADAPTER = "ref"
"""TRL's copy of an adapter as it was given: an untrained one here, which changes nothing and is not needed."""


@dataclass(frozen=True)
class Session:
    """One run of one of the programs, on one rank."""

    job: TrainingJob
    config: PreferenceTraining
    world_size: int
    rank: int
    stop: StopRequest

    @property
    def run_dir(self) -> Path:
        """Everything that is not the artifact's content."""
        return Path(self.job.run_dir)

    @property
    def engine(self) -> str:
        """What trains, in words."""
        return "torch" if self.world_size == 1 else f"DeepSpeed ZeRO-1, {self.world_size} processes"


@dataclass(frozen=True)
class Trained:
    """A run that came to its end; `model` holds the weights that were chosen."""

    model: Any
    history: list[dict[str, float]]
    measured: Measured
    seconds: float
    best_step: int | None
    """The step of the weights, where the best ones were asked for."""

    def facts(self) -> dict[str, Any]:
        """Figures that every kind of training has."""
        outcome, losses = self.measured.rewards, [entry["loss"] for entry in self.history if "loss" in entry]
        return {
            "steps": len(losses),
            "loss_first": losses[0],
            "loss_last": losses[-1],
            "heldout_pairs": outcome.pairs,
            "heldout_reward_accuracy": outcome.accuracy,
            "heldout_reward_accuracy_interval": list(outcome.interval),
            "heldout_reward_margin": outcome.margin,
            "heldout_loss": self.measured.loss if outcome.pairs else None,
            **({} if self.best_step is None else {"best_step": self.best_step}),
            "seconds_training": round(self.seconds, 3),
            "device": next(self.model.parameters()).device.type,
        }


def begin(job: TrainingJob, config: PreferenceTraining) -> Session:
    """Listen for a stop and, with several processes, join them."""
    stop = StopRequest().listen()
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if world_size > 1:
        distributed.start()  # before accelerate does it, which on the CPU would have DeepSpeed compile a kernel first
    return Session(job, config, world_size, rank, stop)


def arguments(session: Session, steps: int) -> dict[str, Any]:
    """What the configurations of all of TRL's trainers have in common."""
    config = session.config
    return {
        "output_dir": str(session.run_dir / "checkpoints"),
        "max_steps": steps,
        "per_device_train_batch_size": config.micro_batch,
        "gradient_accumulation_steps": config.global_batch // (config.micro_batch * session.world_size),
        "learning_rate": config.learning_rate,
        "optim": "adamw_torch",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_length": config.max_length,
        "bf16": config.precision == "bf16",
        "gradient_checkpointing": False,
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_every,
        "save_total_limit": 2,
        "use_cpu": device().type == "cpu",
        "deepspeed": ZERO_1 if session.world_size > 1 else None,
    }


def train(session: Session, trainer: Callable[[Watch], Prepared], measure: Measure, about: str) -> Trained:
    """Train from the last usable checkpoint to the end.

    Args:
        trainer: makes the trainer, given the callback that watches it.
        about: what is trained on what, for the journal.

    Raises:
        Preempted: after SIGTERM or SIGINT, once the last step that was done is saved.
        NumericsError: a loss, gradient norm or reward is not finite; the message names the step and its rows.
        OutOfMemoryError: memory was short; the message names the micro-batch to try next.
    """
    job, run_dir = session.job, session.run_dir
    journal = Journal(run_dir) if session.rank == 0 else None
    watch = Watch(journal, session.config, job.fingerprint, session.world_size, session.stop, measure)
    made = trainer(watch)
    made.remove_callback(PrinterCallback)
    checkpoints = run_dir / "checkpoints"
    resume = latest(checkpoints, job.fingerprint, session.world_size)
    if journal is not None:
        remove_unusable(checkpoints, resume)
        done = step_of(resume) if resume else 0
        journal.resume(done)
        begins = f"step {done}" if resume else "the model given"
        journal.message(
            f"{about}, {made.args.max_steps} steps of {session.config.global_batch} from {begins}; {session.engine}"
        )
    made.accelerator.wait_for_everyone()
    started = time.monotonic()
    try:
        made.train(resume_from_checkpoint=str(resume) if resume else None)
    except (RuntimeError, MemoryError) as error:
        explained = explain_memory(error, made.state.global_step + 1, session.config)
        if explained is None:
            raise
        raise explained from error
    if watch.stopped and made.state.global_step < made.state.max_steps:
        raise Preempted(f"told to stop; step {made.state.global_step} of {made.state.max_steps} is saved")
    session.stop.release()
    seconds, model, best = time.monotonic() - started, made.accelerator.unwrap_model(made.model), None
    made.accelerator.wait_for_everyone()
    if session.config.choose == "best" and best_so_far(run_dir):
        best = take_best(model, run_dir)
    return Trained(model, read_metrics(run_dir), measure(model), seconds, best)


def adapted(model: Any, config: AlignmentTraining, directory: Path) -> Adapted | None:
    """The model with the recipe's adapter in it, in place; None where it has none."""
    return adapt(model, config.adapter, directory, config.seed) if config.adapter else None


def export(trained: Any, source: Path, directory: Path, adapter: Adapted | None, load: Callable[[Path], Any]) -> None:
    """Write a Hugging Face folder with the tokenizer of `source` byte for byte: saving it anew would change its digest.

    Args:
        adapter: what was trained in place of the weights; the folder holds the merged model, and this in `adapter/`.
        load: reads the folder again, to compare.

    Raises:
        CorruptArtifactError: what was saved gives other outputs than what was trained, or the adapter was not trained.
    """
    ids = torch.arange(min(PROBE_TOKENS, trained.config.vocab_size))[None]
    with torch.inference_mode():
        expected = trained.eval()(input_ids=ids.to(trained.device)).logits.cpu().float()
    if adapter:
        if REFERENCE_ADAPTER in adapter.peft.peft_config:
            adapter.peft.delete_adapter(REFERENCE_ADAPTER)
        whole = {name: weight.detach().cpu() for name, weight in adapter.peft.get_base_model().named_parameters()}
        check_adapter(directory / DIRECTORY, save_adapter(adapter.peft, whole, directory / DIRECTORY))
        merge(adapter, directory / DIRECTORY, torch.float32, _probe(ids).to(trained.device), directory)
    else:
        trained.config.use_cache = True
        trained.save_pretrained(directory)
    copy_tokenizer(source, directory)
    with torch.inference_mode():
        again = load(directory)
        verify(expected, again(input_ids=ids.to(again.device)).logits.cpu().float(), directory)


def finish(session: Session, facts: dict[str, Any]) -> None:
    """Write `result.json`, what the launcher gives back. Raises Preempted when another launcher has taken the run over."""
    check_owner()
    whole = facts | {"processes": session.world_size}
    (session.run_dir / "result.json").write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))


def plots(run_dir: Path, name: str, history: list[dict[str, float]], curves: dict[str, str]) -> None:
    """The loss, and held-out figures by step.

    Args:
        curves: metrics of the journal by the label of their line, for one picture of the training and held-out figures:
            accuracies on its left side, all others (nats) on its right.
    """
    with plot(run_dir, f"{name}_loss", f"{name}: loss by step") as axes:
        for metric, label in (("loss", "training"), ("heldout/loss", "held-out, -log sigmoid(margin)")):
            _line(axes, history, metric, label)
        over_steps(axes)
        axes.legend(frameon=False)
    with plot(run_dir, "throughput", "Throughput, from the second step on") as axes:
        _line(axes, history, "tokens_per_second", "")
        over_steps(axes)
        axes.set_ylabel("tokens per second")
        axes.set_ylim(bottom=0)
    with panels(run_dir, f"{name}_rewards", f"{name}: rewards by step", (9.0, 3.6), columns=2) as sides:
        for metric, label in curves.items():
            _line(sides["accurac" not in metric], history, metric, label)
        for axes in sides:
            over_steps(axes)
            axes.legend(frameon=False, fontsize=8)
        sides[0].set_ylim(0, 1)


def _line(axes: Any, history: list[dict[str, float]], metric: str, label: str) -> None:
    points = [(entry["step"], entry[metric]) for entry in history if metric in entry]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="." if metric.startswith("heldout/") else None)


def _probe(ids: torch.Tensor) -> Batch:
    """One whole sequence as the causal program's batch."""
    positions, nothing = torch.arange(ids.shape[1])[None], torch.zeros_like(ids)
    return Batch(ids, positions, nothing, labels=ids, weights=torch.zeros(ids.shape))
