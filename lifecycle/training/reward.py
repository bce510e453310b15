"""The reward program: a sequence classifier with one output, from preference pairs, with TRL's trainer.

Its loss is -log sigmoid(r(chosen) - r(rejected)) (Bradley & Terry 1952; Ouyang et al. 2022, equation 1). Run it through
`lifecycle.training.launch`. Inputs: `model` (the SFT model that it starts from; the output layer is new, drawn from the
seed) and `pairs`; config: `{"reward_model": RewardModelConfig}`. The artifact loads as AutoModelForSequenceClassification
with num_labels 1, beside the tokenizer; a text to score is the chat template's rendering up to the end-of-turn token.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification
from trl.trainer.reward_config import RewardConfig

from lifecycle.evaluation.controls import length_only
from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import ATTENTION, device, load_tokenizer
from lifecycle.recipe.preference_training import RewardModelConfig
from lifecycle.training.preference_data import RenderedPairs, names_of_steps, read_splits, training_order
from lifecycle.training.preference_heldout import SIDES, explicit_rewards
from lifecycle.training.preference_run import arguments, begin, export, finish, plots, train
from lifecycle.training.preference_trainer import ScoreTrainer, Watch

CURVES = {
    "accuracy": "accuracy, training",
    "margin": "margin, training",
    "heldout/accuracy": "accuracy, held-out",
    "heldout/margin": "margin, held-out",
}


def main(job: TrainingJob) -> None:
    """Train, measure the held-out pairs, and export the model to `job.output`.

    Raises:
        Preempted, NumericsError, OutOfMemoryError: as `preference_run.train`.
        DataError: there is no pair to train on.
    """
    config = RewardModelConfig.model_validate(job.config["reward_model"])
    session, given = begin(job, config), Path(job.inputs["model"])
    tokenizer = load_tokenizer(given)
    torch.manual_seed(config.seed)
    model = load_scorer(given, pad_token_id=tokenizer.pad_token_id)
    pairs = read_splits(Path(job.inputs["pairs"]), tokenizer, config.max_length, "reward_model")
    measure = explicit_rewards(pairs.heldout, tokenizer.pad_token_id, 2 * config.micro_batch)
    order = training_order(len(pairs.train.rows), config)

    def trainer(watch: Watch) -> ScoreTrainer:
        return ScoreTrainer(
            model=model,
            args=RewardConfig(**arguments(session, len(order) // config.global_batch)),
            train_dataset=_rows(pairs.train).select(order),
            processing_class=tokenizer,
            callbacks=[watch],
            config=config,
            names=names_of_steps(pairs.train.ids, order, config.global_batch),
        )

    left_out = f"{pairs.train.too_long} of more than {config.max_length} tokens left out"
    said = f"reward model on {len(pairs.train.rows)} pairs ({left_out})"
    done = train(session, trainer, measure, said)
    if session.rank == 0:
        export(done.model, given, Path(job.output), None, load_scorer)
        plots(session.run_dir, "reward_model", done.history, CURVES)
        lengths = length_only(pairs.train.lengths(), pairs.heldout.lengths())
        facts = {
            "rows": len(pairs.train.rows),
            "pairs_too_long": pairs.train.too_long + pairs.heldout.too_long,
            "engine": session.engine,
            "precision": config.precision,
            **done.facts(),
            "heldout_length_only_accuracy": lengths.accuracy,
            "heldout_length_only_interval": list(lengths.interval),
        }
        finish(session, facts)


def load_scorer(directory: Path, **arguments: Any) -> Any:
    """The sequence classifier with one output in a Hugging Face folder, on `device()`; of a language model a new one."""
    model = AutoModelForSequenceClassification.from_pretrained(
        str(directory),
        num_labels=1,
        dtype=torch.float32,
        attn_implementation=ATTENTION,
        local_files_only=True,
        use_safetensors=True,
        **arguments,
    )
    return model.to(device()).eval()


def _rows(pairs: RenderedPairs) -> Dataset:
    return Dataset.from_dict(
        {f"{side}_ids": [row["prompt_ids"] + row[f"{side}_ids"] for row in pairs.rows] for side in SIDES}
    )


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
