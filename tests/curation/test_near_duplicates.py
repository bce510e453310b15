"""Near-duplicates: the partitioned search finds what comparing all pairs finds, and large templates come out right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation import near_duplicates
from lifecycle.curation.minhash import Signatures, signatures, threshold
from lifecycle.parallel import Executor
from lifecycle.recipe.corpora import MinHashConfig
from tests.curation.near import all_pairs, search
from tests.curation.test_minhash import random_text

CONFIG = MinHashConfig()
SMALL = MinHashConfig(bands=6, rows=2)
"""Threshold 0.41: chains and pairs without a common band are frequent."""


@st.composite
def corpora(draw: st.DrawFn) -> tuple[Signatures, np.ndarray, int]:
    """Signatures of which many resemble each other more or less, an order of preference, and where pinned texts begin."""
    seed = draw(st.integers(0, 2**32 - 1))
    size = draw(st.integers(1, 40))
    rng = np.random.default_rng(seed)
    families = rng.integers(0, 2**32 - 1, size=(draw(st.integers(1, 4)), 12), dtype=np.uint32)
    made = families[rng.integers(0, len(families), size)]
    changed = rng.random(made.shape) < draw(st.floats(0, 0.6))
    made[changed] = rng.integers(0, draw(st.sampled_from([3, 2**32 - 1])), int(changed.sum()), dtype=np.uint32)
    made[rng.random(size) < 0.05] = 0xFFFFFFFF
    pinned_from = size - draw(st.integers(0, min(5, size)))
    rank = rng.permutation(size)
    rank[pinned_from:] -= size
    return made, rank, pinned_from


@settings(max_examples=150, deadline=None)
@given(corpora(), st.integers(1, 5), st.lists(st.integers(1, 39), max_size=4))
def test_it_finds_what_comparing_all_pairs_finds(corpus: tuple, partitions: int, cuts: list[int]) -> None:
    signature, rank, pinned_from = corpus
    found = search(signature, SMALL, rank, pinned_from, partitions, tuple(cuts))
    assert found == all_pairs(signature, SMALL, rank, pinned_from)


@settings(max_examples=100, deadline=None)
@given(corpora(), st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([2, 3, 7]))
def test_neither_order_nor_partitions_nor_blocks_show(corpus: tuple, draw, partitions: int, compared: int) -> None:
    """Also where buckets and components are larger than what a text is compared with, and than what is in memory at once."""
    signature, rank, pinned_from = corpus
    order = [*draw.sample(range(pinned_from), pinned_from), *range(pinned_from, len(signature))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "COMPARED", compared)
        plain = search(signature, SMALL, rank, pinned_from)
        patch.setattr(near_duplicates, "BLOCK", 4)
        moved = search(signature[order], SMALL, rank[order], pinned_from, partitions, (len(order) // 2,))
    assert {order[text]: (order[kept], alike) for text, (kept, alike) in moved.items()} == plain
    for text, (kept, alike) in plain.items():
        assert kept not in plain
        assert rank[kept] < rank[text]
        assert text < pinned_from
        assert np.mean(signature[text] == signature[kept]) == alike >= threshold(SMALL) - 1e-9


@settings(max_examples=60, deadline=None)
@given(corpora(), st.floats(0, 1), st.integers(1, 4), st.sampled_from([2, 3, 7]))
def test_after_a_search_among_some_texts_the_same_is_found(
    corpus: tuple, share: float, partitions: int, compared: int
) -> None:
    """Also where a bucket is larger than what a text is compared with, was so before, or becomes so by the new texts:
    buckets rely on what smaller ones joined."""
    signature, rank, pinned_from = corpus
    earlier = round(share * len(signature))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "COMPARED", compared)
        plain = search(signature, SMALL, rank, pinned_from, partitions)
        assert search(signature, SMALL, rank, pinned_from, partitions, earlier=earlier) == plain


@pytest.mark.parametrize(("bands", "beside"), [(2, 0), (1, 1)])
def test_a_bucket_that_grew_joins_no_more_than_without_its_past(
    monkeypatch: pytest.MonkeyPatch, bands: int, beside: int
) -> None:
    """Two texts resemble each other, and ten new ones share a band with them: often two of these are what all are compared
    with, and the two are joined by their second band or not at all. Which, the order of their hashes decides."""
    monkeypatch.setattr(near_duplicates, "COMPARED", 2)
    joined = 0
    for seed in range(20):
        signature = np.random.default_rng(seed).integers(0, 2**32 - 1, size=(12 + beside, 12), dtype=np.uint32)
        signature[:, :2] = signature[0, :2]
        same = [*range(2 * bands), 5, 7, 9]
        signature[1, same] = signature[0, same]
        plain = search(signature, SMALL)
        assert search(signature, SMALL, earlier=2 + beside) == plain
        joined += bool(plain)
    assert joined == 20 if bands == 2 else 0 < joined < 20


@pytest.fixture
def template() -> Signatures:
    """5,000 texts: 2,000 each of two templates with a field filled in, one after another, and 1,000 of their own."""
    one, two = random_text(1, 300), random_text(2, 300)
    filled = [f"{text} number{number}" for number in range(2000) for text in (one, two)]
    return signatures([*filled, *(random_text(seed, 60) for seed in range(3, 1003))], CONFIG)


@pytest.mark.parametrize("partitions", [1, 3])
def test_templates_by_the_thousand_leave_one_text_each(template: Signatures, partitions: int) -> None:
    found = search(template, CONFIG, partitions=partitions)
    assert {kept for kept, _ in found.values()} == {0, 1}
    assert sorted(found) == list(range(2, 4000))


def test_copies_far_apart_in_a_bucket_are_found() -> None:
    """Each text of a bucket was once compared with the thousand before it: of pairs further apart both were kept. Here 700
    pairs lie in one bucket of 1,400 texts that share a band and nothing else, one half behind the other."""
    rng = np.random.default_rng(3)
    half = rng.integers(0, 2**32 - 1, size=(700, 112), dtype=np.uint32)
    half[:, :8] = 7
    other = half.copy()
    other[:, 8::8] ^= 1  # one place in each of the other bands: the pairs meet in this bucket only
    found = search(np.concatenate([half, other]), CONFIG)
    assert found == {700 + text: (text, pytest.approx(99 / 112)) for text in range(700)}


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_workers_find_the_same(template: Signatures, executor: Executor, request: pytest.FixtureRequest) -> None:
    if executor == "ray":
        request.getfixturevalue("ray_here")
    there = search(template, CONFIG, partitions=4, cuts=(1000, 2500), workers=2, executor=executor)
    assert there == search(template, CONFIG)
