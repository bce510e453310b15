"""The preference program: direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) with TRL's trainer.

Run it through `lifecycle.training.launch`, or alone as `python -m lifecycle.training.preference job.json`. Inputs:
`model` (start and reference) and `pairs` (a `preference_pairs` artifact); config: `{"dpo": DpoConfig, "reference":
ReferenceSource}`.

One process trains with plain torch, several with DeepSpeed ZeRO-1 through accelerate. AdamW (torch, betas 0.9/0.999,
no weight decay), gradients clipped at 1, no dropout. A killed run goes on from its last complete checkpoint with the same
losses.
"""

import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig

from lifecycle.jobs import TrainingJob
from lifecycle.preferences.logps import answer_sums
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.alignment import FEW_PAIRS, few_pairs
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training.preference_data import Splits, names_of_steps, read_splits, training_order
from lifecycle.training.preference_heldout import SIDES, implicit_rewards, sides
from lifecycle.training.preference_run import adapted, arguments, begin, export, finish, plots, train
from lifecycle.training.preference_trainer import PreferenceTrainer, Watch
from lifecycle.training.reference import Reference, ReferenceSource, reference_logps

CURVES = {
    "rewards/accuracies": "accuracy, training",
    "rewards/margins": "margin (beta x nats), training",
    "heldout/accuracy": "accuracy, held-out",
    "heldout/margin": "margin, held-out",
    "heldout/kl": "KL estimate a token, held-out",
    "heldout/chosen_change_per_token": "chosen, change a token (nats)",
    "heldout/rejected_change_per_token": "rejected, change a token (nats)",
}


def main(job: TrainingJob) -> None:
    """Train, measure the held-out pairs, and export the model to `job.output`.

    Raises:
        Preempted, NumericsError, OutOfMemoryError: as `preference_run.train`.
        DataError: there is no pair to train on.
    """
    config = DpoConfig.model_validate(job.config["dpo"])
    session, given = begin(job, config), Path(job.inputs["model"])
    model, tokenizer = load_for_inference(given)
    pairs = read_splits(Path(job.inputs["pairs"]), tokenizer, config.max_length, "dpo")
    source = ReferenceSource.model_validate(job.config["reference"])
    rows = sides(pairs.train, "train") | sides(pairs.heldout, "heldout")
    reference = reference_logps(model, tokenizer, rows, source, config)  # before there is an adapter
    measure = implicit_rewards(pairs.heldout, reference, config.beta, tokenizer.pad_token_id, 2 * config.micro_batch)
    before = measure(model)
    adapter = adapted(model, config, given)
    order = training_order(len(pairs.train.rows), config)

    def trainer(watch: Watch) -> PreferenceTrainer:
        return PreferenceTrainer(
            model=adapter.peft if adapter else model,
            args=DPOConfig(**arguments(session, len(order) // config.global_batch), **loss(config)),
            train_dataset=training_rows(pairs, reference).select(order),
            processing_class=tokenizer,
            callbacks=[watch],
            config=config,
            names=names_of_steps(pairs.train.ids, order, config.global_batch),
        )

    few = few_pairs(len(pairs.train.rows)) if len(pairs.train.rows) < FEW_PAIRS else ""
    said = (
        f"DPO ({' + '.join(config.loss_type)}) on {len(pairs.train.rows)} pairs ({pairs.train.too_long} of more than "
        f"{config.max_length} tokens left out); reference log-probabilities {'reused' if reference.reused else 'computed'}"
    )
    done = train(session, trainer, measure, "; ".join(part for part in (few, said) if part))
    if session.rank == 0:
        export(done.model, given, Path(job.output), adapter, lambda directory: load_for_inference(directory)[0])
        plots(session.run_dir, "dpo", done.history, CURVES)
        after = done.measured.figures
        losses = [entry for entry in done.history if "loss" in entry]
        facts = {
            "rows": len(pairs.train.rows),
            "pairs_too_long": pairs.train.too_long + pairs.heldout.too_long,
            "engine": session.engine,
            "precision": config.precision,
            "train_reward_accuracy_last": losses[-1]["rewards/accuracies"],
            **done.facts(),
            **{f"heldout_{side}_logp": {"before": before.figures.get(key), "after": after.get(key)} for side, key in LOGPS},
            "heldout_kl": after.get("kl"),
            "log_probabilities_collapsed": done.measured.collapsed,
            "reference_logps": reference.facts,
        }
        finish(session, facts)


LOGPS = tuple((side, f"logps_{side}") for side in SIDES)


def training_rows(pairs: Splits, reference: Reference) -> Dataset:
    """The training pairs with the reference's log-probabilities, under TRL's column names."""
    named: dict[str, Any] = {
        f"ref_{side}_logps": answer_sums(reference.logps[f"train_{side}"], pairs.train.side(side)).tolist() for side in SIDES
    }
    columns = {name: [row[name] for row in pairs.train.rows] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
    return Dataset.from_dict(columns | named)


def loss(config: DpoConfig) -> dict[str, Any]:
    """The loss in TRL's words."""
    return {
        "beta": config.beta,
        "loss_type": list(config.loss_type),
        "loss_weights": None if config.loss_weights is None else list(config.loss_weights),
        "label_smoothing": config.label_smoothing,
        "precompute_ref_log_probs": True,
    }


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
