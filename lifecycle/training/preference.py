"""The preference program: direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) with TRL's trainer.

Run it through `lifecycle.training.launch`, or alone as `python -m lifecycle.training.preference job.json`. Inputs:
`model` (the SFT model: start and reference) and `pairs` (a `preference_pairs` artifact); config: `{"dpo": DpoConfig}`.

One process trains with plain torch, several with DeepSpeed ZeRO-1 through accelerate. AdamW (torch, betas 0.9/0.999,
no weight decay), gradients clipped at 1, no dropout. Log-probabilities of the reference are computed once, before
training, from the SFT model itself. A killed run goes on from its last complete checkpoint with the same losses.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
import torch.nn.functional as F
from transformers import PrinterCallback
from trl.trainer.dpo_config import DPOConfig

from lifecycle.errors import DataError
from lifecycle.jobs import TrainingJob
from lifecycle.plots import plot
from lifecycle.preferences.logps import answer_logps, rewards
from lifecycle.pretrained import device, load_for_inference
from lifecycle.recipe.alignment import FEW_PAIRS, DpoConfig, few_pairs
from lifecycle.training import distributed
from lifecycle.training.exits import Preempted
from lifecycle.training.export import copy_tokenizer, verify
from lifecycle.training.guards import explain_memory
from lifecycle.training.journal import Journal
from lifecycle.training.preference_checkpoints import latest, remove_unusable, step_of
from lifecycle.training.preference_data import RenderedPairs, load_dataset, read_pairs, store_dataset, training_order
from lifecycle.training.preference_trainer import PreferenceTrainer, Watch
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


@dataclass(frozen=True)
class Pairs:
    """Both splits as token ids."""

    train: RenderedPairs
    heldout: RenderedPairs


def main(job: TrainingJob) -> None:
    """Train, measure the held-out pairs before and after, and export the model to `job.output`.

    Raises:
        Preempted: after SIGTERM or SIGINT, once the last step that was done is saved.
        NumericsError: a loss, gradient norm or reward is not finite; the message names the step and its pairs.
        OutOfMemoryError: memory was short; the message names the micro-batch to try next.
        DataError: there is no pair to train on.
    """
    config = DpoConfig.model_validate(job.config["dpo"])
    stop = StopRequest().listen()
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if world_size > 1:
        distributed.start()  # before accelerate does it, which on the CPU would have DeepSpeed compile a kernel first
    run_dir = Path(job.run_dir)
    model, tokenizer = load_for_inference(Path(job.inputs["model"]))
    pairs = _read(Path(job.inputs["pairs"]), tokenizer, config)
    before = _heldout_logps(model, tokenizer, pairs.heldout, config)
    journal = Journal(run_dir) if rank == 0 else None
    watch = Watch(journal, config, job.fingerprint, world_size, stop)
    trainer = _trainer(model, tokenizer, pairs, config, job, world_size, watch)
    checkpoints = run_dir / "checkpoints"
    resume = latest(checkpoints, job.fingerprint, world_size)
    if journal is not None:
        remove_unusable(checkpoints, resume)
        done = step_of(resume) if resume else 0
        journal.resume(done)
        journal.message(
            f"DPO on {len(pairs.train.rows)} pairs ({pairs.train.too_long} of more than {config.max_length} tokens "
            f"left out), {trainer.args.max_steps} steps of {config.global_batch} from "
            f"{f'step {done}' if resume else 'the SFT model'}; {_engine(world_size)}, {config.precision}"
        )
        if len(pairs.train.rows) < FEW_PAIRS:
            journal.message(few_pairs(len(pairs.train.rows)))
    trainer.accelerator.wait_for_everyone()
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except (RuntimeError, MemoryError) as error:
        explained = explain_memory(error, trainer.state.global_step + 1, config)
        if explained is None:
            raise
        raise explained from error
    if watch.stopped and trainer.state.global_step < trainer.state.max_steps:
        raise Preempted(f"told to stop; step {trainer.state.global_step} of {trainer.state.max_steps} is saved")
    stop.release()
    if rank == 0:
        after = _heldout_logps(trainer.model, tokenizer, pairs.heldout, config)
        export(trainer.model, Path(job.inputs["model"]), Path(job.output))
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        _plots(run_dir, history)
        facts = _facts(pairs, config, world_size, history, before, after)
        facts["seconds_training"] = round(time.monotonic() - started, 3)
        (run_dir / "result.json").write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2))


def export(model: Any, source: Path, directory: Path) -> None:
    """Write a Hugging Face folder with the tokenizer of `source` byte for byte: saving it anew would change its digest.

    Raises:
        CorruptArtifactError: the reloaded model gives other logits than the trained one.
    """
    model.config.use_cache = True
    model.save_pretrained(directory)
    copy_tokenizer(source, directory)
    ids = torch.arange(min(32, model.config.vocab_size))[None]
    with torch.inference_mode():
        trained = model.eval()(input_ids=ids.to(model.device)).logits.cpu().float()
        reloaded, _ = load_for_inference(directory)
        verify(trained, reloaded(input_ids=ids.to(reloaded.device)).logits.cpu(), directory)


def _read(directory: Path, tokenizer: Any, config: DpoConfig) -> Pairs:
    pairs = Pairs(
        read_pairs(directory / "train.parquet", tokenizer, config.max_length),
        read_pairs(directory / "heldout.parquet", tokenizer, config.max_length),
    )
    if not pairs.train.rows:
        raise DataError(
            f"{directory / 'train.parquet'}: no pair to train on ({pairs.train.too_long} are longer than "
            f"dpo.max_length {config.max_length}); see the ledger of preference_pairs for where the others went"
        )
    return pairs


def _trainer(
    model: Any, tokenizer: Any, pairs: Pairs, config: DpoConfig, job: TrainingJob, world_size: int, watch: Watch
) -> PreferenceTrainer:
    order = training_order(len(pairs.train.rows), config)
    steps = len(order) // config.global_batch
    arguments = DPOConfig(
        output_dir=str(Path(job.run_dir) / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.global_batch // (config.micro_batch * world_size),
        learning_rate=config.learning_rate,
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=1.0,
        beta=config.beta,
        loss_type=list(config.loss_type),
        loss_weights=None if config.loss_weights is None else list(config.loss_weights),
        max_length=config.max_length,
        precompute_ref_log_probs=True,
        bf16=config.precision == "bf16",
        gradient_checkpointing=False,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        save_total_limit=2,
        use_cpu=device().type == "cpu",
        deepspeed=ZERO_1 if world_size > 1 else None,
    )
    dataset_directory = Path(job.run_dir) / f"dataset-{job.fingerprint}"
    if arguments.process_index == 0:
        store_dataset(pairs.train.rows, dataset_directory)
    assert arguments.distributed_state is not None
    arguments.distributed_state.wait_for_everyone()
    ids = [
        [pairs.train.ids[i] for i in order[s * config.global_batch : (s + 1) * config.global_batch]] for s in range(steps)
    ]
    trainer = PreferenceTrainer(
        model=model,
        args=arguments,
        train_dataset=load_dataset(dataset_directory),
        processing_class=tokenizer,
        callbacks=[watch],
        config=config,
        pair_ids=ids,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train_dataset = trainer.train_dataset.select(order)
    return trainer


def _heldout_logps(model: Any, tokenizer: Any, pairs: RenderedPairs, config: DpoConfig) -> tuple[torch.Tensor, torch.Tensor]:
    chosen, rejected = (
        answer_logps(model, pairs.side(side), pad_token_id=tokenizer.pad_token_id, max_length=config.max_length)
        for side in ("chosen", "rejected")
    )
    return chosen, rejected


def _facts(
    pairs: Pairs, config: DpoConfig, world_size: int, history: list[dict[str, float]], before: Any, after: Any
) -> dict[str, Any]:
    outcome = rewards(*after, *before)
    margins = config.beta * ((after[0] - before[0]) - (after[1] - before[1]))
    return {
        "rows": len(pairs.train.rows),
        "steps": len(history),
        "pairs_too_long": pairs.train.too_long + pairs.heldout.too_long,
        "engine": _engine(world_size),
        "precision": config.precision,
        "loss_first": history[0]["loss"],
        "loss_last": history[-1]["loss"],
        "train_reward_accuracy_last": history[-1]["rewards/accuracies"],
        "heldout_pairs": outcome.pairs,
        "heldout_reward_accuracy": outcome.accuracy,
        "heldout_reward_accuracy_interval": list(outcome.interval),
        "heldout_reward_margin": config.beta * outcome.margin,
        "heldout_sigmoid_loss_before": float(-F.logsigmoid(torch.zeros(1))),
        "heldout_sigmoid_loss_after": float(-F.logsigmoid(margins).mean()) if outcome.pairs else None,
        "heldout_chosen_logp": {"before": _mean(before[0]), "after": _mean(after[0])},
        "heldout_rejected_logp": {"before": _mean(before[1]), "after": _mean(after[1])},
    }


def _engine(world_size: int) -> str:
    return "torch" if world_size == 1 else f"DeepSpeed ZeRO-1, {world_size} processes"


def _mean(values: torch.Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _plots(run_dir: Path, history: list[dict[str, float]]) -> None:
    steps = [entry["step"] for entry in history]
    with plot(run_dir, "dpo_loss", "DPO loss by step (ln 2 = 0.693 is no preference)") as axes:
        axes.plot(steps, [entry["loss"] for entry in history])
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
    with plot(run_dir, "dpo_rewards", "Implicit rewards on the training pairs") as axes:
        axes.plot(steps, [entry["rewards/accuracies"] for entry in history], label="accuracy")
        axes.plot(steps, [entry["rewards/margins"] for entry in history], label="margin (beta x nats)")
        axes.set_xlabel("step")
        axes.legend(frameon=False)


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
