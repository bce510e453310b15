"""Differences in standard errors: paired where both models answered the same items."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lifecycle.evaluation.contrasts import Items, contrast, read_items, standard_error
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.statistics import wilson_interval
from tests.evaluation.fixtures import write_jsonl


def metric(value: float, error: float | None = 0.1, higher: bool = True) -> Metric:
    return Metric(value=value, higher_is_better=higher, stderr=error)


def items(scores: np.ndarray, weights: np.ndarray | None = None, first: int = 0) -> Items:
    ones = np.ones(len(scores)) if weights is None else weights
    return Items(tuple(range(first, first + len(scores))), scores, ones)


def test_with_equal_weights_it_is_the_paired_t_statistic():
    draw = np.random.default_rng(3)
    a, b = draw.normal(0.6, 1, 80), draw.normal(0.5, 1, 80)
    found = contrast("m/x", "dpo", "sft", metric(a.mean()), metric(b.mean()), (items(a), items(b)))
    assert found.standard_errors == pytest.approx(stats.ttest_rel(a, b).statistic)
    assert found.items == 80


def test_the_error_of_a_weighted_mean_is_that_of_the_bootstrap():
    """Bits per byte: bits over bytes, documents of very different lengths."""
    draw = np.random.default_rng(5)
    sizes = draw.lognormal(6, 1, 200)
    a = draw.normal(2.0, 0.3, 200)
    b = a + draw.normal(0.02, 0.05, 200)
    found = contrast(
        "t/bits", "sft", "base", metric(2.0, higher=False), metric(2.0, higher=False), (items(b, sizes), items(a, sizes))
    )
    drawn = draw.integers(0, 200, (4000, 200))
    resampled = ((b - a) * sizes)[drawn].sum(1) / sizes[drawn].sum(1)
    assert found.stderr == pytest.approx(resampled.std(), rel=0.1)
    assert found.gain == pytest.approx(-((b - a) * sizes).sum() / sizes.sum()), "more bits are worse"


def test_only_items_that_both_answered_count():
    draw = np.random.default_rng(7)
    a, b = draw.normal(0, 1, 60), draw.normal(0, 1, 60)
    found = contrast("m/x", "dpo", "champion", metric(a.mean()), metric(b.mean()), (items(a), items(b, first=30)))
    assert found.items == 30
    assert found.gain == pytest.approx(a[30:].mean() - b[:30].mean())
    few = contrast("m/x", "dpo", "champion", metric(1.0), metric(0.5), (items(a), items(b, first=50)))
    assert (few.items, few.gain) == (None, 0.5), "ten items are too few: the figures themselves are compared"
    assert few.stderr == pytest.approx(math.hypot(0.1, 0.1))


def test_items_that_all_moved_alike_do_not_make_a_difference_certain():
    """24 answers, each 0.2 better: a spread of nothing is no error of nothing."""
    a, b = np.full(24, 0.3), np.full(24, 0.1)
    found = contrast("m/x", "dpo", "sft", metric(0.3), metric(0.1), (items(a), items(b)))
    assert found.stderr == pytest.approx(math.hypot(0.1, 0.1))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=20, max_size=60))
def test_seen_from_the_other_side_a_difference_is_the_same(answers: list[tuple[int, int]]):
    ours, theirs = (np.asarray(side, dtype=float) for side in zip(*answers, strict=True))
    sides = metric(ours.mean()), metric(theirs.mean())
    one = contrast("m/x", "dpo", "sft", *sides, (items(ours), items(theirs)))
    other = contrast("m/x", "sft", "dpo", *reversed(sides), (items(theirs), items(ours)))
    assert one.turned().gain == pytest.approx(other.gain)
    assert one.turned().stderr == pytest.approx(other.stderr)


def test_a_share_of_nothing_or_everything_still_has_an_error():
    low, high = wilson_interval(0, 300)
    assert standard_error(Metric(value=0.0, higher_is_better=True, stderr=0.0, interval=(low, high))) == pytest.approx(
        (high - low) / 3.92, rel=1e-3
    )
    assert standard_error(metric(0.5, None)) is None


def test_items_count_only_where_they_are_what_the_figure_was_made_of(tmp_path: Path):
    texts = ["a" * 10, "é" * 20, "c" * 400]
    write_jsonl(tmp_path / "heldout" / "text.jsonl", [{"text": text} for text in texts])
    sizes = [len(text.encode()) for text in texts]
    rows = [{"task": "t", "index": i, "prompt": "", "target": text, "score": 1.0 + i} for i, text in enumerate(texts)]
    rows += [{"task": "q", "index": i, "prompt": "p", "target": "same", "score": float(i)} for i in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "samples.parquet")
    bits = sum((1.0 + i) * size for i, size in enumerate(sizes)) / sum(sizes)
    known = {"t/bits_per_byte": metric(bits), "q/acc": metric(0.5), "q/other": metric(0.9)}
    found = read_items(tmp_path, tmp_path / "heldout", known)
    assert set(found) == {"t/bits_per_byte", "q/acc"}
    assert found["t/bits_per_byte"].mean() == pytest.approx(bits)
    assert len(set(found["q/acc"].keys)) == 2, "equal questions stay two items"
