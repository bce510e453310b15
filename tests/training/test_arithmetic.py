"""Schedule, sample order, journal and throughput: pure functions and their properties."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.recipe.training import CausalTraining, Optimization
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import PackedDocuments, SampleOrder
from lifecycle.training.engine import engine_config
from lifecycle.training.journal import FILE, Journal, follow, read_metrics
from lifecycle.training.meter import Meter
from lifecycle.training.relay import interval
from lifecycle.training.schedule import learning_rate
from lifecycle.training.throughput import Shape, flops_per_token, peak_flops

optimizations = st.builds(
    Optimization,
    learning_rate=st.floats(1e-6, 1),
    min_learning_rate_share=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
    warmup_steps=st.integers(0, 60),
) | st.builds(
    Optimization,
    learning_rate=st.floats(1e-6, 1),
    min_learning_rate_share=st.floats(0, 1),
    schedule=st.just("wsd"),
    decay_share=st.floats(0.01, 1),
    decay_form=st.sampled_from(["sqrt", "linear", "cosine"]),
    warmup_steps=st.integers(0, 60),
)


def test_a_run_of_any_length_says_where_it_is_and_does_not_flood() -> None:
    """Every line is kept for ever by the orchestrator, and a line each three seconds makes 29,000 in a day."""
    said, second = [0.0], 0.0
    while second < 86_400:
        second += 0.5
        if second - said[-1] >= interval(second):
            said.append(second)
    assert sum(each <= 60 for each in said) >= 20
    assert len(said) < 600
    assert all(later - before <= 0.03 * later + 4 for before, later in pairwise(said))


@given(optimizations, st.integers(1, 200))
def test_schedule_rises_falls_and_stays_in_bounds(optimization: Optimization, steps: int) -> None:
    rates = [learning_rate(optimization, steps, step) for step in range(steps)]
    peak, warmup = optimization.learning_rate, min(optimization.warmup_steps, steps)
    tolerance = 1e-9 * peak
    assert all(0 < rate <= peak + tolerance for rate in rates[:warmup])
    assert rates[:warmup] == sorted(rates[:warmup])
    after = rates[warmup:]
    assert all(a >= b - tolerance for a, b in pairwise(after))
    if after:
        assert after[0] == pytest.approx(peak)
    if len(after) > 1:
        floor = 1 if optimization.schedule == "constant" else optimization.min_learning_rate_share
        assert after[-1] == pytest.approx(floor * peak, abs=tolerance)


@pytest.mark.parametrize(
    ("form", "last"), [("linear", [1.0, 0.775, 0.55, 0.325, 0.1]), ("sqrt", [1.0, 0.55, 0.3636, 0.2206, 0.1])]
)
def test_wsd_stays_at_the_peak_and_falls_at_the_end(form: str, last: list[float]) -> None:
    """With 1 - sqrt a quarter of the way down leaves half of the way: 0.1 + 0.9 x (1 - 1/2) = 0.55."""
    optimization = Optimization.model_validate(
        {"learning_rate": 1.0, "schedule": "wsd", "decay_share": 0.2, "decay_form": form, "warmup_steps": 1}
    )
    rates = [learning_rate(optimization, 20, step) for step in range(20)]
    assert rates[:16] == [0.5] + [1.0] * 15
    assert rates[15:] == pytest.approx(last, abs=1e-4)


def test_the_form_of_a_decay_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="decay_form belong to schedule wsd, and this one is cosine"):
        Optimization(learning_rate=1.0, decay_form="linear")


@pytest.mark.parametrize("step", [-1, 10])
def test_schedule_knows_no_step_outside_the_run(step: int) -> None:
    with pytest.raises(ValueError, match="0 to 9"):
        learning_rate(Optimization(learning_rate=1.0), 10, step)


@given(
    st.integers(1, 40), st.sampled_from([(1, 8), (2, 4), (2, 2), (4, 1), (8, 1)]), st.integers(0, 30), st.integers(0, 2**32)
)
def test_a_step_sees_the_same_sequences_however_it_is_split(
    sequences: int, split: tuple[int, int], step: int, seed: int
) -> None:
    world, size = split
    order = SampleOrder(sequences, 8, seed, block=16)
    parts = [order.micro_batch(step, m, r, world, size) for m in range(8 // (world * size)) for r in range(world)]
    assert np.array_equal(np.concatenate(parts), order.global_step(step))


def test_pretraining_reads_from_front_to_back() -> None:
    """Random reads over a memmap larger than memory were very slow: its documents are shuffled when it is written."""
    order = SampleOrder(40, 4, seed=3, block=8)
    seen = np.concatenate([order.global_step(step) for step in range(10)])
    assert (seen // 8).tolist() == sorted((seen // 8).tolist())
    assert seen.tolist() != sorted(seen.tolist())


@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 100), st.integers(1, 60))
def test_every_epoch_sees_every_sequence_once(sequences: int, global_batch: int, seed: int, block: int) -> None:
    order = SampleOrder(sequences, global_batch, seed, block)
    stream = np.concatenate([order.global_step(step) for step in range(math.ceil(3 * sequences / global_batch))])
    for epoch in range(3):
        part = stream[epoch * sequences : (epoch + 1) * sequences]
        assert sorted(part.tolist()) == list(range(sequences))


def test_every_token_is_seen_at_its_place(memmap: Path) -> None:
    source = TokenMemmap(memmap)
    data = PackedDocuments(source, 64, "pretrain")
    batch = data.batch(np.arange(data.sequences))
    used = source.describe.tokens - data.tokens_left_out
    assert np.array_equal(batch.ids.numpy().ravel(), source.tokens[:used].astype(np.int64))
    starts = batch.positions == 0
    assert starts[:, 0].all(), "a piece cut by the end of a sequence begins at position 0 in the next"
    assert batch.weights.sum() == batch.ids.numel() - starts.sum(), "nothing predicts the first token of a piece"
    weighted = batch.weights[:, :-1] > 0
    assert (batch.labels[:, :-1][weighted] == batch.ids[:, 1:][weighted]).all()


def test_sft_trains_only_masked_tokens_and_cuts_no_document(sft_memmap: Path) -> None:
    source = TokenMemmap(sft_memmap)
    data = PackedDocuments(source, 64, "sft")
    batch = data.batch(np.arange(data.sequences))
    assert data.tokens_left_out == 0
    assert batch.tokens == source.describe.tokens
    assert batch.weights.sum() == source.describe.trained_tokens
    assert data.documents(np.arange(data.sequences)) == list(range(len(source)))


def test_too_little_text_is_a_data_error(memmap: Path) -> None:
    with pytest.raises(DataError, match="sequence_length"):
        PackedDocuments(TokenMemmap(memmap), 100_000, "pretrain")


def test_journal_of_a_resumed_run_has_one_value_per_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (1, 2, 3):
        journal.metrics(step, loss=float(step))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "metrics", "st')
    resumed = Journal(tmp_path)
    resumed.resume(1)
    resumed.metrics(2, loss=20.0)
    assert [(entry["step"], entry["loss"]) for entry in read_metrics(tmp_path)] == [(1, 1.0), (2, 20.0)]


def test_follow_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert follow(path, 0) == ([], 0)
    path.write_text('{"kind": "message"}\n{"kind": ')
    entries, offset = follow(path, 0)
    assert len(entries) == 1
    with path.open("a") as file:
        file.write('"message"}\n')
    assert len(follow(path, offset)[0]) == 1


def test_a_non_finite_metric_is_refused(tmp_path: Path) -> None:
    """The Trainer's default logs NaN losses as 0, and the curve looks perfect."""
    with pytest.raises(ValueError, match="loss of step 4 is nan"):
        Journal(tmp_path).metrics(4, loss=float("nan"))


def test_an_unknown_peak_is_not_guessed() -> None:
    assert peak_flops(None) is None
    assert peak_flops("AMD EPYC") is None
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA L4") == 121e12
    assert peak_flops("NVIDIA L40S") == 362e12


SHAPE = Shape(1_000_000, 1_000_000, 0, 4096, layers=4, hidden=128, attention=128, key_values=128, intermediate=384)


def test_flops_of_a_token() -> None:
    assert flops_per_token(SHAPE, 256) == 6e6 + 6 * 4 * 128 * 256
    untied = replace(SHAPE, lookup=4096 * 128)
    assert flops_per_token(untied, 256) == 6 * (1_000_000 - 4096 * 128) + 6 * 4 * 128 * 256


def test_frozen_weights_need_no_gradient_of_their_own() -> None:
    assert flops_per_token(replace(SHAPE, trainable=10_000), 256) == 6e4 + 4 * 990_000 + 6 * 4 * 128 * 256


def test_meter_leaves_the_compiling_step_out() -> None:
    meter = Meter(devices=2, flops_per_token=10.0, peak_flops=1000.0)
    meter.add(100, 30.0, 0.0)
    assert meter.read(9) == {}
    meter.add(100, 2.0, 0.5)
    figures = meter.read(8)
    assert figures["tokens_per_second"] == 50
    assert figures["tokens_per_second_per_device"] == 25
    assert figures["data_wait_share"] == 0.25
    assert figures["seconds_left"] == 16
    assert figures["tflops_per_device"] == pytest.approx(50 * 10 / 2 / 1e12)
    assert figures["mfu"] == 50 * 10 / 2000
    assert meter.read(8) == {}


@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"), (1, "fp32")])
def test_engine_config_brings_no_scheduler_no_optimizer_no_fp16(stage: int, precision: str) -> None:
    training = CausalTraining.model_validate(
        {
            "steps": 1,
            "global_batch": 8,
            "sequence_length": 8,
            "optimization": {"learning_rate": 1e-3},
            "micro_batch": 2,
            "zero_stage": stage,
            "precision": precision,
        }
    )
    config = engine_config(training)
    assert not {"scheduler", "optimizer", "fp16"} & set(config)
    assert config["gradient_accumulation_steps"] == 2
