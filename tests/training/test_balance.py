"""Per token, per sample, per task: one formula for MFTCoder's four cases, the same however the global batch is split."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.recipe.fine_tuning import Coba, TaskBalance
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training import coba
from lifecycle.training.balance import Balance
from lifecycle.training.batches import Batch, PackedDocuments
from tests.training import tiny

TASKS = ("a", "b", "c")
Sample = tuple[int, list[float], list[int]]
"""Task, cross-entropy of each label, and whether it is trained."""

sample = st.integers(1, 9).flatmap(
    lambda length: st.tuples(
        st.integers(0, 2),
        st.lists(st.floats(0.01, 20), min_size=length, max_size=length),
        st.lists(st.integers(0, 1), min_size=length, max_size=length),
    )
)
samples = st.lists(sample, min_size=1, max_size=12).filter(lambda rows: any(sum(mask) for *_, mask in rows))
cases = st.sampled_from(["token", "sample", "task", "task_sample"])
task_weights = st.tuples(*[st.sampled_from([0.25, 1.0, 3.0])] * 3)


def mftcoder(case: str, rows: list[Sample], weights: tuple[float, ...]) -> float:
    """The oracle, written as the cases are: sums and means of sums and means."""
    trained = [(task, float(np.dot(losses, mask)), sum(mask)) for task, losses, mask in rows if sum(mask)]
    total = divisor = 0.0
    for task in sorted({task for task, *_ in trained}):
        own = [(nats, count) for other, nats, count in trained if other == task]
        nats, count = sum(each for each, _ in own), sum(each for _, each in own)
        means = [each / number for each, number in own]
        total += weights[task] * {"token": nats, "sample": sum(means), "task": nats / count}.get(case, sum(means) / len(own))
        divisor += weights[task] * {"token": count, "sample": len(own)}.get(case, 1)
    return total / divisor


def as_batch(rows: list[Sample], by_sample: bool) -> tuple[Batch, torch.Tensor]:
    """One conversation a row, as `PackedDocuments` would give its base weights; and the losses of its labels."""
    shape = (len(rows), 9)
    weights, losses, tasks = (torch.zeros(shape, dtype=t) for t in (torch.float32, torch.float64, torch.int16))
    for row, (task, values, mask) in enumerate(rows):
        base = torch.tensor(mask, dtype=torch.float64)
        weights[row, : len(mask)] = (base / max(1, sum(mask)) if by_sample else base).float()
        losses[row, : len(mask)] = torch.tensor(values, dtype=torch.float64)
        tasks[row] = task
    empty = torch.zeros(shape, dtype=torch.int64)
    return Batch(empty, empty, empty, empty, weights, tasks), losses


def loss_of(balance: Balance, parts: list[tuple[Batch, torch.Tensor]], state: Any = None) -> float:
    """As the loop does it: sums over all parts decide the factors, then every part is weighed for itself."""
    totals = np.sum([balance.totals([batch]) for batch, _ in parts], axis=0)
    factors = balance.factors(totals, state)
    sums = [float((balance.weigh(batch, factors).weights.double() * losses).sum()) for batch, losses in parts]
    return sum(sums) / float(factors @ totals)


@settings(deadline=None)
@given(samples, cases, task_weights)
def test_the_loss_is_that_of_mftcoders_cases(rows: list[Sample], case: str, weights: tuple[float, ...]) -> None:
    config = TaskBalance.model_validate({"per": case})
    balance = Balance(TASKS, weights, config.by_task)
    assert loss_of(balance, [as_batch(rows, config.by_sample)]) == pytest.approx(mftcoder(case, rows, weights), rel=1e-5)


@settings(deadline=None)
@given(
    samples,
    cases,
    task_weights,
    st.lists(st.integers(0, 3), min_size=12),
)
def test_one_part_and_four_give_the_same_loss(
    rows: list[Sample], case: str, weights: tuple[float, ...], to: list[int]
) -> None:
    """MFTCoder normalises each micro-batch of each rank for itself: a task with few tokens there counts for more."""
    config = TaskBalance.model_validate({"per": case})
    balance = Balance(TASKS, weights, config.by_task)
    whole = loss_of(balance, [as_batch(rows, config.by_sample)])
    parts = [[row for row, part in zip(rows, to, strict=False) if part == number] for number in range(4)]
    split = loss_of(balance, [as_batch(part, config.by_sample) for part in parts if part])
    assert split == pytest.approx(whole, rel=1e-6)


@settings(deadline=None)
@given(samples, st.booleans())
def test_weights_of_a_mean_over_tasks_add_up_to_the_tasks_weights(rows: list[Sample], by_sample: bool) -> None:
    weights = (0.5, 1.0, 3.0)
    balance = Balance(TASKS, weights, by_task=True)
    batch, _ = as_batch(rows, by_sample)
    factors = balance.factors(balance.totals([batch]))
    weighed = balance.weigh(batch, factors).weights
    assert batch.tasks is not None
    for task in range(3):
        present = any(sum(mask) for own, _, mask in rows if own == task)
        assert float(weighed[batch.tasks == task].sum()) == pytest.approx(weights[task] if present else 0.0, rel=1e-5)


def test_cobas_weights_take_the_place_of_ones() -> None:
    """Equal CoBa weights leave the loss as it is, also beside pretraining text that CoBa does not follow."""
    rows = [(0, [1.0, 2.0], [1, 1]), (1, [4.0], [1]), (2, [8.0], [1])]
    balance = Balance(TASKS, (1.0, 1.0, 0.5), by_task=True, followed=(0, 1))
    state = coba.advance(None, Coba(), 0, [1.0, 1.0])
    part = [as_batch(rows, False)]
    assert loss_of(balance, part, state) == pytest.approx(loss_of(balance, part)) == pytest.approx((1.5 + 4 + 4) / 2.5)
    moved = state.model_copy(update={"weights": (0.75, 0.25)})
    assert loss_of(balance, part, moved) == pytest.approx((1.5 * 1.5 + 0.5 * 4 + 0.5 * 8) / 2.5)


def test_without_tasks_nothing_is_touched() -> None:
    batch, _ = as_batch([(0, [1.0], [1])], False)
    plain = Balance()
    assert plain.plain
    assert plain.weigh(batch, plain.factors(plain.totals([batch]))) is batch


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"coba": {}}, "the loss is per token; say per: task"),
        ({"per": "task", "coba": {}, "weights": {"a": 2}}, "weights and coba both decide"),
        ({"weights": {"a": -1}}, "those of a are below 0"),
    ],
)
def test_a_balance_that_contradicts_itself_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TaskBalance.model_validate(given)


def test_a_sample_weighs_one_in_a_packed_batch(tmp_path: Path, tokenizer: Path) -> None:
    memmap = TokenMemmap(tiny.make_memmap(tmp_path, tokenizer, masked=True, tasks=TASKS))
    assert memmap.task is not None
    data = PackedDocuments(memmap, 64, "sft", by_sample=True, tasks=np.asarray(memmap.task))
    numbers = np.arange(data.sequences)
    batch = data.batch(numbers)
    assert batch.tasks is not None
    weights, places = batch.weights.numpy(), data.document_of_places(numbers)
    inside = places >= 0
    assert np.bincount(places[inside], weights[inside]) == pytest.approx(np.ones(len(memmap)), rel=1e-5)
    assert (batch.tasks.numpy()[inside] == np.asarray(memmap.task)[places[inside]]).all()
    assert math.isclose(weights.sum(), len(memmap), rel_tol=1e-5)
