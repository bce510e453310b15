"""The KTO program: Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306) with TRL's trainer.

It learns from answers of which each was wanted or not, without a second one beside it. Run it through
`lifecycle.training.launch`. Inputs: `model` (start and reference), `preferences` (a `raw_preferences` artifact, for its
labelled answers), `pairs` (a `preference_pairs` artifact, for its held-out pairs) and `heldout` (for the evaluation's
prompts); config: `{"kto": KtoConfig, "reference": ReferenceSource}`. No prompt of a held-out pair or of the evaluation is
trained on.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from trl.trainer.kto_config import KTOConfig

from lifecycle.errors import DataError
from lifecycle.evaluation.items import evaluation_prompts
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.logps import Row, answer_sums
from lifecycle.preferences.table import HELDOUT, LABELS, Labelled, read_labels
from lifecycle.preferences.table import read_pairs as read_table
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.preference_training import KtoConfig
from lifecycle.training.preference_data import RenderedLabels, names_of_steps, read_pairs, render_labels, training_order
from lifecycle.training.preference_heldout import implicit_rewards, sides
from lifecycle.training.preference_run import adapted, arguments, begin, export, finish, plots, train
from lifecycle.training.preference_trainer import LabelTrainer, Watch
from lifecycle.training.reference import Reference, ReferenceSource, reference_logps

CURVES = {
    "rewards/margins": "wanted minus unwanted, training",
    "kl": "divergence z0, training",
    "heldout/accuracy": "accuracy, held-out pairs",
    "heldout/margin": "margin, held-out pairs",
    "heldout/kl": "KL estimate a token, held-out pairs",
}


def main(job: TrainingJob) -> None:
    """Train, measure the held-out pairs, and export the model to `job.output`.

    Raises:
        Preempted, NumericsError, OutOfMemoryError: as `preference_run.train`.
        DataError: there is no labelled answer to train on.
    """
    config = KtoConfig.model_validate(job.config["kto"])
    session, given = begin(job, config), Path(job.inputs["model"])
    model, tokenizer = load_for_inference(given)
    kept, dropped = _choose(*(Path(job.inputs[name]) for name in ("preferences", "pairs", "heldout")))
    labels = render_labels(kept, tokenizer, config.max_length)
    dropped["too_long"] = labels.too_long
    if not labels.rows:
        raise DataError(
            f"{Path(job.inputs['preferences']) / LABELS}: no labelled answer to train on (left out: {dropped}); add a "
            "source of labelled answers to preferences.sources, or take the section kto out of the recipe"
        )
    pairs = read_pairs(Path(job.inputs["pairs"]) / HELDOUT, tokenizer, config.max_length)
    order = training_order(len(labels.rows), config)
    mismatched = mismatch([labels.rows[index] for index in order], config) if config.loss_type == "kto" else []
    rows = {"answers": labels.rows, "mismatched": mismatched} | sides(pairs, "heldout")
    source = ReferenceSource.model_validate(job.config["reference"])
    reference = reference_logps(model, tokenizer, rows, source, config)
    measure = implicit_rewards(pairs, reference, config.beta, tokenizer.pad_token_id, 2 * config.micro_batch)
    adapter = adapted(model, config, given)

    def trainer(watch: Watch) -> LabelTrainer:
        return LabelTrainer(
            model=adapter.peft if adapter else model,
            args=KTOConfig(**arguments(session, len(order) // config.global_batch), **loss(config)),
            train_dataset=training_rows(labels, mismatched, order, reference),
            processing_class=tokenizer,
            callbacks=[watch],
            config=config,
            names=names_of_steps(labels.ids, order, config.global_batch),
        )

    wanted = sum(labels.wanted)
    said = (
        f"KTO ({config.loss_type}) on {len(labels.rows)} answers, {wanted} of them wanted (left out: {dropped}); reference "
        f"log-probabilities {'reused' if reference.reused else 'computed'}"
    )
    done = train(session, trainer, measure, said)
    if session.rank == 0:
        export(done.model, given, Path(job.output), adapter, lambda directory: load_for_inference(directory)[0])
        plots(session.run_dir, "kto", done.history, CURVES)
        facts = {
            "rows": len(labels.rows),
            "wanted": wanted,
            "left_out": dropped,
            "engine": session.engine,
            "precision": config.precision,
            **done.facts(),
            "heldout_kl": done.measured.figures.get("kl"),
            "log_probabilities_collapsed": done.measured.collapsed,
            "reference_logps": reference.facts,
        }
        finish(session, facts)


def mismatch(rows: list[Row], config: KtoConfig) -> list[Row]:
    """Each prompt with the answer to the one before it in its batch (the first with the last one's): what z0 is taken from.

    Cut to `max_length`, as TRL's collator cuts them.
    """
    size, found = config.global_batch, []
    for begin_at in range(0, len(rows), size):
        batch = rows[begin_at : begin_at + size]
        found += [
            (prompt, batch[place - 1][1][: config.max_length - len(prompt)]) for place, (prompt, _) in enumerate(batch)
        ]
    return found


def training_rows(labels: RenderedLabels, mismatched: list[Row], order: np.ndarray, reference: Reference) -> Dataset:
    """One row for each place of each batch, with the reference's log-probabilities, under TRL's column names."""
    sums = answer_sums(reference.logps["answers"], labels.rows)
    columns: dict[str, Any] = {
        "prompt_ids": [labels.rows[index][0] for index in order],
        "completion_ids": [labels.rows[index][1] for index in order],
        "label": [labels.wanted[index] for index in order],
        "ref_logps": sums[order].tolist(),
    }
    if mismatched:
        columns["KL_completion_ids"] = [answer for _, answer in mismatched]
        columns["ref_KL_logps"] = answer_sums(reference.logps["mismatched"], mismatched).tolist()
    return Dataset.from_dict(columns)


def loss(config: KtoConfig) -> dict[str, Any]:
    """The loss in TRL's words."""
    return {
        "beta": config.beta,
        "loss_type": config.loss_type,
        "desirable_weight": config.wanted_weight,
        "undesirable_weight": config.unwanted_weight,
        "precompute_ref_log_probs": True,
    }


def _choose(preferences: Path, pairs: Path, heldout: Path) -> tuple[list[Labelled], dict[str, int]]:
    """The labelled answers to train on, and how many are left out for what reason."""
    measured_by = {pair.prompt_key() for pair in read_table(pairs / HELDOUT)}
    forbidden = evaluation_prompts(heldout)
    dropped = {"evaluation_prompt": 0, "heldout_pair": 0}
    kept = []
    for label in read_labels(preferences / LABELS):
        if label.prompt[-1].content in forbidden:
            dropped["evaluation_prompt"] += 1
        elif label.prompt_key() in measured_by:
            dropped["heldout_pair"] += 1
        else:
            kept.append(label)
    return kept, dropped


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
