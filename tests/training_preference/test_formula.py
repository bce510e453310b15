"""The losses of DPO's family and of KTO, and the order of rows, against the published formulas and by arithmetic."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from pydantic import ValidationError
from transformers import AutoTokenizer, LlamaForCausalLM
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.kto_config import KTOConfig

from lifecycle.preferences.render import pair_ids
from lifecycle.recipe.preference_training import DpoConfig, DpoLoss, KtoConfig
from lifecycle.training import kto, preference
from lifecycle.training.exits import NumericsError
from lifecycle.training.preference_data import training_order
from lifecycle.training.preference_trainer import LabelTrainer, PreferenceTrainer
from tests.tiny_model import tiny_model

PAIRS = [
    ("What is it?", "Return the path.", "not"),
    ("Why?", "file", "a number when it is raised"),
    ("2?", "class", "module"),
]
BETA, EPSILON = 0.3, 0.1


def sigma(x: torch.Tensor) -> torch.Tensor:
    return F.logsigmoid(x)


def discopop(batch: SimpleNamespace) -> torch.Tensor:
    """Lu et al. 2024, equation 5, tau = 0.05."""
    rho = BETA * batch.delta
    mix = torch.sigmoid(rho / 0.05)
    return (1 - mix) * -sigma(rho) + mix * torch.exp(-rho)


def exo(batch: SimpleNamespace) -> torch.Tensor:
    """Ji et al. 2024, equation 16: KL(p_theta || p_rh) over the two answers."""
    own = torch.stack([BETA * batch.good, BETA * batch.bad]).softmax(0)
    people = torch.tensor([1 - EPSILON, EPSILON], dtype=torch.float64)[:, None]
    return (own * (own.log() - people.log())).sum(0)


FORMULAS: dict[str, Callable[[SimpleNamespace], torch.Tensor]] = {
    "sigmoid": lambda b: -sigma(BETA * b.delta),  # Rafailov et al. 2023, equation 7
    "hinge": lambda b: (1 - BETA * b.delta).clamp(min=0),  # Zhao et al. 2023 (SLiC)
    "ipo": lambda b: (b.good / b.good_tokens - b.bad / b.bad_tokens - 1 / (2 * BETA)) ** 2,  # Azar et al. 2024, 17, a token
    "exo_pair": exo,
    "nca_pair": lambda b: -sigma(BETA * b.good) - (sigma(-BETA * b.good) + sigma(-BETA * b.bad)) / 2,  # Chen et al. 2024
    "robust": lambda b: -((1 - EPSILON) * sigma(BETA * b.delta) - EPSILON * sigma(-BETA * b.delta)) / (1 - 2 * EPSILON),
    "bco_pair": lambda b: -sigma(BETA * b.good) - sigma(-BETA * b.bad),  # Jung et al. 2024, shift 0
    "sppo_hard": lambda b: (b.good - 0.5 / BETA) ** 2 + (b.bad + 0.5 / BETA) ** 2,  # Wu et al. 2024, 4.7
    "apo_zero": lambda b: 1 - torch.sigmoid(BETA * b.good) + torch.sigmoid(BETA * b.bad),  # D'Oosterlinck et al. 2024, 7
    "apo_down": lambda b: torch.sigmoid(BETA * b.good) + 1 - torch.sigmoid(BETA * b.delta),  # the same, 8
    "discopop": discopop,
    "sigmoid_norm": lambda b: -sigma(BETA * (b.good / b.good_tokens - b.bad / b.bad_tokens)),  # Meng et al. 2024, with ref
    "sft": lambda b: (-b.good_logps.sum() / b.good_tokens.sum()).expand(len(b.good)),  # cross-entropy of the chosen tokens
}


def logp(model: LlamaForCausalLM, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """log p of the answer in float64, position by position, without padding, batches or caches."""
    logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) + i - 1, token] for i, token in enumerate(answer))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> SimpleNamespace:
    """Policy, reference and tokenizer, and the rows of `PAIRS`."""
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    rows = []
    for question, chosen, rejected in PAIRS:
        prompt, good = pair_ids(tokenizer, [{"role": "user", "content": question}], chosen)
        _, bad = pair_ids(tokenizer, [{"role": "user", "content": question}], rejected)
        rows.append({"prompt_ids": prompt, "chosen_ids": good, "rejected_ids": bad})
    policy = LlamaForCausalLM.from_pretrained(tiny_model(tmp_path_factory.mktemp("policy"), seed=1)).eval()
    reference = LlamaForCausalLM.from_pretrained(model_directory).eval()
    return SimpleNamespace(policy=policy, reference=reference, tokenizer=tokenizer, rows=rows)


def in_float64(models: SimpleNamespace, answers: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of each answer under policy and reference, in copies of float64."""
    found = []
    for model in (models.policy, models.reference):
        double = LlamaForCausalLM(model.config).double().eval()
        double.load_state_dict({name: weight.double() for name, weight in model.state_dict().items()})
        with torch.no_grad():
            found.append(torch.stack([logp(double, *answer) for answer in answers]))
    return found[0], found[1]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory, models: SimpleNamespace) -> tuple[PreferenceTrainer, Any]:
    directory = str(tmp_path_factory.mktemp("trainer"))
    made = PreferenceTrainer(
        model=models.policy,
        ref_model=models.reference,
        args=DPOConfig(output_dir=directory, bf16=False, use_cpu=True, gradient_checkpointing=False, report_to="none"),
        train_dataset=Dataset.from_list(models.rows),
        processing_class=models.tokenizer,
        config=DpoConfig(),
        names=lambda step: ["a", "b", "c"],
    )
    return made, made.data_collator(models.rows)


@pytest.fixture(scope="module")
def batch(models: SimpleNamespace) -> SimpleNamespace:
    """log(pi/ref) of the chosen (`good`) and rejected (`bad`) answers in float64, their difference, and their tokens."""
    sides = [[(row["prompt_ids"], row[side]) for row in models.rows] for side in ("chosen_ids", "rejected_ids")]
    (good_logps, good_ref), (bad_logps, bad_ref) = (in_float64(models, side) for side in sides)
    good_tokens, bad_tokens = (torch.tensor([len(answer) for _, answer in side]).double() for side in sides)
    good, bad = good_logps - good_ref, bad_logps - bad_ref
    return SimpleNamespace(
        good=good, bad=bad, delta=good - bad, good_tokens=good_tokens, bad_tokens=bad_tokens, good_logps=good_logps
    )


def measured(trainer: tuple[PreferenceTrainer, Any], config: DpoConfig) -> float:
    """The program's loss of the fixed batch under these settings, through the same words that it gives TRL."""
    made, inputs = trainer
    said = preference.loss(config)
    made.beta, made.label_smoothing = said["beta"], said["label_smoothing"]
    made.loss_types, made.loss_weights = said["loss_type"], said["loss_weights"] or [1.0] * len(said["loss_type"])
    with torch.no_grad():
        return float(made.compute_loss(made.model, dict(inputs)))


@pytest.mark.parametrize("name", get_args(DpoLoss))
def test_loss_of_a_fixed_batch_equals_the_formula(name: str, trainer, batch: SimpleNamespace):
    """`sft` is measured beside sigmoid, where alone the recipe allows it (RPO: Pang et al. 2024)."""
    expected = FORMULAS[name](batch).mean()
    smoothing = EPSILON if name in ("robust", "exo_pair") else 0.0
    config = DpoConfig(beta=BETA, loss_type=("sigmoid", "sft") if name == "sft" else (name,), label_smoothing=smoothing)
    if name == "sft":
        config = config.model_copy(update={"loss_weights": (1.0, 0.7)})
        expected = FORMULAS["sigmoid"](batch).mean() + 0.7 * expected
    assert measured(trainer, config) == pytest.approx(float(expected), rel=2e-5, abs=1e-6)


def test_a_loss_that_is_not_finite_names_its_rows(trainer):
    """It is stopped before its gradient reaches the weights; transformers would log it as 0."""
    made, inputs = trainer
    weight = made.model.model.norm.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        with pytest.raises(NumericsError, match=r"the loss of step 1 is nan; its rows are \['a', 'b', 'c'\]"):
            made.compute_loss(made.model, dict(inputs))
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_the_formulas_are_different_ones(batch: SimpleNamespace):
    values = [round(float(formula(batch).mean()), 4) for formula in FORMULAS.values()]
    assert len(set(values)) == len(FORMULAS), values


@pytest.mark.parametrize("name", ["kto", "apo_zero_unpaired"])
def test_kto_of_a_fixed_batch_equals_the_formula(name: str, tmp_path: Path, models: SimpleNamespace):
    """lambda_y (1 - sigma(+-(beta log(pi/ref) - z0))), z0 = beta max(0, mean over mismatched answers of log(pi/ref)):
    Ethayarajh et al. 2024, equations 7 and 8."""
    config = KtoConfig(beta=BETA, loss_type=name, wanted_weight=1.5, unwanted_weight=0.5, global_batch=3, micro_batch=3)
    wanted = [True, False, True]
    answers = [(row["prompt_ids"], row["chosen_ids"]) for row in models.rows]
    mismatched = kto.mismatch(answers, config)
    assert [answer for _, answer in mismatched] == [answers[2][1], answers[0][1], answers[1][1]]
    (own, ref), (own_other, ref_other) = in_float64(models, answers), in_float64(models, mismatched)
    z0 = (own_other - ref_other).mean().clamp(min=0) if name == "kto" else torch.zeros(())
    assert z0 > 0 or name != "kto"
    signs = torch.tensor([1.0 if each else -1.0 for each in wanted], dtype=torch.float64)
    weights = torch.where(signs > 0, 1.5, 0.5)
    expected = (weights * (1 - torch.sigmoid(signs * BETA * (own - ref - z0)))).mean()
    settings = {**kto.loss(config), "precompute_ref_log_probs": False}
    made = LabelTrainer(
        model=models.policy,
        ref_model=models.reference,
        args=KTOConfig(
            output_dir=str(tmp_path), bf16=False, use_cpu=True, gradient_checkpointing=False, report_to="none", **settings
        ),
        train_dataset=Dataset.from_list([{"prompt_ids": [1], "completion_ids": [2], "label": True}]),
        processing_class=models.tokenizer,
        config=config,
        names=lambda step: ["a", "b", "c"],
    )
    names = ("prompt_ids", "completion_ids", "KL_completion_ids", "label")
    rows = [
        dict(zip(names, (*answer, other, label), strict=True))
        for answer, (_, other), label in zip(answers, mismatched, wanted, strict=True)
    ]
    with torch.no_grad():
        ours = float(made.compute_loss(models.policy, made.data_collator(rows)))
    assert ours == pytest.approx(float(expected), rel=2e-5)


def test_every_step_has_a_whole_batch_and_every_epoch_every_pair():
    config = DpoConfig(global_batch=8, epochs=2, seed=4)
    order = training_order(21, config)
    assert len(order) == 6 * 8
    assert sorted(order[:21]) == sorted(order[21:42]) == list(range(21))
    assert list(order) == list(training_order(21, config.model_copy(update={"micro_batch": 4})))
    assert list(order) != list(training_order(21, config.model_copy(update={"seed": 5})))


@pytest.mark.parametrize(
    ("section", "settings", "said"),
    [
        (DpoConfig, {"global_batch": 10}, "global_batch 10 is not a multiple"),
        (DpoConfig, {"loss_type": ("sigmoid", "sft"), "loss_weights": (1.0,)}, "loss_weights has 1 entries for 2"),
        (DpoConfig, {"loss_type": ("sigmoid", "sft"), "loss_weights": (1.0, 0.0)}, "each must be above 0"),
        (DpoConfig, {"loss_type": ("sft",)}, "never looks at the rejected"),
        (DpoConfig, {"loss_type": ("ipo", "ipo")}, "given twice"),
        (DpoConfig, {"label_smoothing": 0.1}, "a part of robust and exo_pair alone"),
        (DpoConfig, {"loss_type": ("robust",)}, "needs label_smoothing"),
        (DpoConfig, {"loss_type": ("robust",), "label_smoothing": 0.5}, "less than 0.5"),
        (DpoConfig, {"loss_type": ("aot",)}, "loss_type"),
        (DpoConfig, {"adapter": {"kind": "qlora"}}, "use lora or dora"),
        (KtoConfig, {"global_batch": 16, "micro_batch": 8}, "KTO estimates its divergence over one pass"),
    ],
)
def test_settings_that_do_not_fit_are_refused(section: type, settings: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        section(**settings)
