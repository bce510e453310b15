"""What a model that is trained on preferences makes of the held-out pairs: while it is trained, and when it is done."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from lifecycle.evaluation.statistics import HeldoutRewards
from lifecycle.preferences.logps import Row, answer_sums, preferred, token_logps
from lifecycle.training.exits import NumericsError
from lifecycle.training.preference_data import RenderedPairs
from lifecycle.training.reference import Reference, summed

SIDES = ("chosen", "rejected")
COLLAPSE = 0.5
"""Nats a token: where both answers lost as much against the reference, their probability a token fell below 61 % of it."""
BEST = "best.safetensors"


@dataclass(frozen=True)
class Measured:
    """One measurement of the held-out pairs; `figures` are what else the journal gets."""

    rewards: HeldoutRewards
    loss: float
    """Mean of -log sigmoid(margin), the margin in units of the reward that is trained."""
    figures: dict[str, float] = field(default_factory=dict)
    collapsed: bool = False

    def journal(self) -> dict[str, float]:
        """All figures, under the names that the journal and MLflow have for them."""
        named = {"accuracy": self.rewards.accuracy, "margin": self.rewards.margin, "loss": self.loss, **self.figures}
        return {f"heldout/{name}": value for name, value in named.items()}


Measure = Callable[[Any], Measured]
"""Measures a model; every rank must call it."""


def sides(pairs: RenderedPairs, split: str) -> dict[str, list[Row]]:
    """The rows of both answers, under the names that `implicit_rewards` looks for in a reference."""
    return {f"{split}_{side}": pairs.side(side) for side in SIDES}


def implicit_rewards(pairs: RenderedPairs, reference: Reference, beta: float, pad_token_id: int, batch: int) -> Measure:
    """Measures how the implicit reward beta log(pi / ref) prefers the chosen answers (Rafailov et al. 2023).

    `kl` estimates the divergence of model and reference in nats a token: half the squared log(pi / ref), a mean over the
    tokens of all answers (Schulman 2020, k2). It is right for small moves and for answers sampled from one of the two; of
    others it still says how far the model has moved, and unlike k3 no single token decides it.
    """
    rows = sides(pairs, "heldout")
    lengths = {name: np.array([len(answer) for _, answer in each]) for name, each in rows.items()}
    before = {name: answer_sums(reference.logps[name], each) for name, each in rows.items()}

    def measure(model: Any) -> Measured:
        world = dist.get_world_size() if dist.is_initialized() else 1
        share = (dist.get_rank() if world > 1 else 0, world)
        tokens = {
            name: summed(token_logps(model, each, pad_token_id=pad_token_id, batch=batch, share=share), model.device, world)
            for name, each in rows.items()
        }
        after = {name: answer_sums(tokens[name], each) for name, each in rows.items()}
        chosen, rejected = (f"heldout_{side}" for side in SIDES)
        margins = beta * ((after[chosen] - before[chosen]) - (after[rejected] - before[rejected]))
        outcome = preferred(margins)
        if not outcome.pairs:
            return Measured(outcome, 0.0)
        change = {name: (after[name] - before[name]).numpy() / lengths[name] for name in rows}
        ratios = np.concatenate([tokens[name] - reference.logps[name] for name in rows]).astype(np.float64)
        figures = {f"logps_{side}": float(after[f"heldout_{side}"].mean()) for side in SIDES}
        figures |= {f"{side}_change_per_token": float(change[f"heldout_{side}"].mean()) for side in SIDES}
        figures["kl"] = float(np.mean(ratios**2) / 2)
        collapsed = all(figures[f"{side}_change_per_token"] < -COLLAPSE for side in SIDES)
        return _finite(Measured(outcome, float(-F.logsigmoid(margins).mean()), figures, collapsed))

    return measure


def explicit_rewards(pairs: RenderedPairs, pad_token_id: int, batch: int) -> Measure:
    """Measures how a model with one output scores the chosen answers against the rejected ones."""

    def measure(model: Any) -> Measured:
        chosen, rejected = (scores(model, pairs.side(side), pad_token_id, batch) for side in SIDES)
        outcome = preferred(chosen - rejected)
        if not outcome.pairs:
            return Measured(outcome, 0.0)
        return _finite(Measured(outcome, float(-F.logsigmoid(chosen - rejected).mean())))

    return measure


@torch.inference_mode()
def scores(model: Any, rows: list[Row], pad_token_id: int, batch: int) -> torch.Tensor:
    """What a sequence classifier with one output gives each answer after its prompt; float64, shape (rows,)."""
    training = model.training
    model.eval()
    found = torch.zeros(len(rows), dtype=torch.float64)
    order = sorted(range(len(rows)), key=lambda index: (sum(map(len, rows[index])), index))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        joined = [rows[index][0] + rows[index][1] for index in chosen]
        width = max(map(len, joined))
        ids = torch.tensor([each + [pad_token_id] * (width - len(each)) for each in joined], device=model.device)
        mask = torch.tensor([[1] * len(each) + [0] * (width - len(each)) for each in joined], device=model.device)
        found[chosen] = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.squeeze(-1).double().cpu()
    model.train(training)
    return found


def _finite(measured: Measured) -> Measured:
    broken = {name: value for name, value in measured.journal().items() if not math.isfinite(value)}
    if broken:
        raise NumericsError(f"of the held-out pairs: {broken}")
    return measured


def keep_best(model: Any, measured: Measured, step: int, run_dir: Path) -> bool:
    """Write the trained weights to `best.safetensors`, whole or not at all, if no better ones are there; whether it did."""
    before, own = best_so_far(run_dir), (measured.rewards.accuracy, -measured.loss)
    if before is not None and own <= before[1]:
        return False
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters() if weight.requires_grad}
    temporary = run_dir / f"{BEST}.tmp"
    save_file(weights, temporary, {"step": str(step), "accuracy": repr(own[0]), "loss": repr(measured.loss)})
    temporary.replace(run_dir / BEST)
    return True


def best_so_far(run_dir: Path) -> tuple[int, tuple[float, float]] | None:
    """Step, and (accuracy, -loss), of the weights kept by `keep_best`."""
    path = run_dir / BEST
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        said = file.metadata()
    return int(said["step"]), (float(said["accuracy"]), -float(said["loss"]))


@torch.no_grad()
def take_best(model: Any, run_dir: Path) -> int:
    """Put the weights kept by `keep_best` into the model; the step that they are of."""
    named = dict(model.named_parameters())
    with safe_open(run_dir / BEST, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            named[name].copy_(file.get_tensor(name))
        return int(file.metadata()["step"])
