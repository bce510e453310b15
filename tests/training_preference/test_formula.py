"""The DPO loss and the order of pairs, against the formula and by arithmetic."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from transformers import AutoTokenizer, LlamaForCausalLM
from trl.trainer.dpo_config import DPOConfig

from lifecycle.preferences.render import pair_ids
from lifecycle.recipe.alignment import DpoConfig
from lifecycle.training.preference_data import training_order
from lifecycle.training.preference_trainer import PreferenceTrainer
from tests.tiny_model import tiny_model

PAIRS = [
    ("What is it?", "Return the path.", "not"),
    ("Why?", "file", "a number when it is raised"),
    ("2?", "class", "module"),
]


def logp(model: LlamaForCausalLM, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """log p of the answer in float64, position by position, without padding, batches or caches."""
    logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) + i - 1, token] for i, token in enumerate(answer))  # type: ignore[return-value]


def test_loss_of_a_fixed_batch_equals_the_formula(tmp_path: Path, model_directory: Path):
    """-log sigmoid(beta ((log pi(y+) - log ref(y+)) - (log pi(y-) - log ref(y-)))), Rafailov et al. 2023, equation 7."""
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    policy = LlamaForCausalLM.from_pretrained(tiny_model(tmp_path / "policy", seed=1)).eval()
    reference = LlamaForCausalLM.from_pretrained(model_directory).eval()
    beta = 0.3
    rows = []
    for question, chosen, rejected in PAIRS:
        prompt, good = pair_ids(tokenizer, [{"role": "user", "content": question}], chosen)
        _, bad = pair_ids(tokenizer, [{"role": "user", "content": question}], rejected)
        rows.append({"prompt_ids": prompt, "chosen_ids": good, "rejected_ids": bad})
    trainer = PreferenceTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path / "t"),
            beta=beta,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        config=DpoConfig(beta=beta),
        pair_ids=[["a", "b", "c"]],
    )
    batch = trainer.data_collator(rows)
    with torch.no_grad():
        ours = float(trainer.compute_loss(policy, batch))
        policy, reference = policy.double(), reference.double()
        losses = []
        for row in rows:
            margin = sum(
                sign * (logp(policy, row["prompt_ids"], row[side]) - logp(reference, row["prompt_ids"], row[side]))
                for side, sign in (("chosen_ids", 1), ("rejected_ids", -1))
            )
            losses.append(math.log1p(math.exp(-beta * float(margin))))
    assert ours == pytest.approx(np.mean(losses), rel=2e-5)
    assert abs(ours - math.log(2)) > 0.01


def test_every_step_has_a_whole_batch_and_every_epoch_every_pair():
    config = DpoConfig(global_batch=8, epochs=2, seed=4)
    order = training_order(21, config)
    assert len(order) == 6 * 8
    assert sorted(order[:21]) == sorted(order[21:42]) == list(range(21))
    assert list(order) == list(training_order(21, config.model_copy(update={"micro_batch": 4})))
    assert list(order) != list(training_order(21, config.model_copy(update={"seed": 5})))


def test_a_global_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValidationError, match="global_batch 10 is not a multiple"):
        DpoConfig(global_batch=10)
    with pytest.raises(ValidationError, match="loss_weights has 1 entries for 2"):
        DpoConfig(loss_type=("sigmoid", "sft"), loss_weights=(1.0,))
