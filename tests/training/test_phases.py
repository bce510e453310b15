"""Phases follow each other, hold what they should, and the control differs in nothing but who is in them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.recipe.fine_tuning import Phases
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.packing import pack_best_fit
from lifecycle.training.batches import PackedDocuments, SampleOrder
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.phases import PhasedOrder, difficulty, phase_numbers, share_steps


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(0, 300))
def test_steps_are_shared_out_by_what_phases_hold(sequences: list[int], more: int) -> None:
    steps = len(sequences) + more
    shared = share_steps(sequences, steps)
    assert sum(shared) == steps
    assert min(shared) >= 1
    exact = np.array(sequences) / sum(sequences) * more + 1
    assert np.abs(np.array(shared) - exact).max() <= 1


def test_fewer_steps_than_phases_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 steps cannot be shared out among 3 phases"):
        share_steps([5, 5, 5], 2)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12)), min_size=1, max_size=4),
    st.sampled_from([(1, 4), (2, 2), (4, 1)]),
    st.integers(0, 2**32),
)
def test_each_phase_is_passed_over_evenly_in_its_own_steps(
    phases: list[tuple[int, int]], split: tuple[int, int], seed: int
) -> None:
    world, size = split
    sequences, steps = zip(*phases, strict=True)
    order = PhasedOrder(tuple(SampleOrder(count, 4, seed, 16) for count in sequences), steps)
    first = begin = 0
    for count, length in phases:
        seen = np.concatenate([order.global_step(step) for step in range(begin, begin + length)])
        assert seen.min() >= first
        assert seen.max() < first + count
        times = np.bincount(seen - first, minlength=count)
        assert times.max() - times.min() <= 1
        parts = [order.micro_batch(begin, m, r, world, size) for m in range(4 // (world * size)) for r in range(world)]
        assert np.array_equal(np.concatenate(parts), seen[:4])
        first, begin = first + count, begin + length
    behind = order.global_step(begin + 2)
    assert behind.min() >= first - count, "where batches were skipped, the last phase goes on"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 3)), max_size=50), st.integers(20, 40))
def test_no_sequence_holds_two_groups(documents: list[tuple[int, int]], length: int) -> None:
    lengths, groups = (np.array([pair[n] for pair in documents], dtype=np.int64) for n in (0, 1))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = pack_best_fit(offsets, length, groups)
    owner = {int(start): group for start, group, size in zip(offsets, groups, lengths, strict=False) if size}
    held: dict[int, set[int]] = {}
    for sequence, start, _ in rows.tolist():
        held.setdefault(sequence, set()).add(owner[start])
    assert sorted(held) == list(range(len(held)))
    assert all(len(some) == 1 for some in held.values())
    assert [max(held[sequence]) for sequence in sorted(held)] == sorted(max(some) for some in held.values())
    assert len(rows) == sum(1 for size, group in documents if size and group >= 0)


def test_rising_phases_rise_and_the_control_has_their_sizes(sft_memmap: Path) -> None:
    memmap = TokenMemmap(sft_memmap)
    rising, drawn = (Phases(into=4, order=order) for order in ("rising", "random"))
    numbers, control = phase_numbers(memmap, rising, 1), phase_numbers(memmap, drawn, 1)
    values = difficulty(memmap, rising)
    assert memmap.loss_mask is not None
    first = memmap.loss_mask[: memmap.offsets[1]]
    assert values[0] == first.sum()
    tops = [values[numbers == phase].max() for phase in range(3)]
    bottoms = [values[numbers == phase].min() for phase in range(1, 4)]
    assert all(top <= bottom for top, bottom in zip(tops, bottoms, strict=True))
    assert np.bincount(numbers).tolist() == np.bincount(control).tolist() == [len(memmap) // 4] * 4
    means = [values[control == phase].mean() for phase in range(4)]
    assert max(means) - min(means) < np.ptp([values[numbers == phase].mean() for phase in range(4)]) / 2
    assert np.array_equal(control, phase_numbers(memmap, drawn, 1)), "a resumed run has the same phases"
    assert not np.array_equal(control, phase_numbers(memmap, drawn, 2))


def test_boundaries_are_where_the_next_phase_begins(sft_memmap: Path) -> None:
    memmap = TokenMemmap(sft_memmap)
    values = difficulty(memmap, Phases())
    numbers = phase_numbers(memmap, Phases(into=(6.0, 12.0)), 0)
    assert [set(numbers[part]) for part in (values < 6, (values >= 6) & (values < 12), values >= 12)] == [{0}, {1}, {2}]
    data = PackedDocuments(memmap, 64, "sft", groups=numbers)
    assert sum(data.per_group(numbers)) == data.sequences


@pytest.mark.parametrize(
    ("phases", "says"),
    [
        (Phases(into=(1000.0,)), r"would hold \[120, 0\]; answer_tokens goes from"),
        (Phases(by="difficulty"), "120 of the 120 conversations .* have no difficulty"),
    ],
)
def test_phases_that_the_data_does_not_have_are_refused(sft_memmap: Path, phases: Phases, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        phase_numbers(TokenMemmap(sft_memmap), phases, 0)


def test_boundaries_must_rise() -> None:
    with pytest.raises(ValueError, match=r"must rise, these are \[3.5, 2.5\]"):
        Phases(into=(3.5, 2.5))
