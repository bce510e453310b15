"""Anchors tell which documents can share a passage: never too few of them."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.anchors import BASE, anchors, run_words
from lifecycle.curation.passages import PassageIndex
from lifecycle.curation.sorted_hashes import SortedHashes
from lifecycle.curation.words import IDEOGRAPH, character_tables, code_points, find_words, mix
from lifecycle.recipe.corpora import OverlapConfig

WORDS = st.sampled_from(["alpha", "Beta", "gamma", "12", "深", "度", "学习方法", "delta,", "ε", "。", "\n"])
CONFIGS = st.sampled_from([OverlapConfig(words=5, han_characters=9), OverlapConfig(words=13), OverlapConfig(words=1)])


@settings(max_examples=500, deadline=None)
@given(st.lists(WORDS, max_size=60), st.lists(WORDS, max_size=40), st.lists(WORDS, max_size=60), CONFIGS)
def test_texts_that_share_a_passage_share_an_anchor(
    one: list[str], common: list[str], other: list[str], config: OverlapConfig
) -> None:
    first, second = " ".join([*one, *common]), " ".join([*common, *other])
    if PassageIndex([first], config).find(second):
        assert set(anchors(first, config).tolist()) & set(anchors(second, config).tolist())


def test_unlike_texts_share_none_and_anchors_are_few() -> None:
    drawn = random.Random(0)
    words = [f"w{number}" for number in range(20_000)]
    texts = [" ".join(drawn.choices(words, k=5000)) for _ in range(2)]
    config = OverlapConfig(words=50, han_characters=115)
    found = [set(anchors(text, config).tolist()) for text in texts]
    assert not found[0] & found[1]
    assert 100 < len(found[0]) < 500
    assert not anchors("too short", config).size


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9)), st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9)))
def test_hashes_are_looked_up_as_numpy_does(hashes: list[int], wanted: list[int]) -> None:
    """Behind the last of the wanted ones there is no place to compare with."""
    many, few = np.array(hashes, dtype=np.uint64), np.unique(np.array(wanted, dtype=np.uint64))
    places, entries = SortedHashes(few).among(many)
    assert places.tolist() == np.flatnonzero(np.isin(many, few)).tolist()
    assert few[entries].tolist() == many[places].tolist()


@given(st.lists(WORDS, max_size=60), CONFIGS)
def test_anchors_are_sorted_and_each_is_there_once(words: list[str], config: OverlapConfig) -> None:
    found = anchors(" ".join(words), config)
    assert found.tolist() == np.unique(found).tolist()


@given(st.lists(WORDS, max_size=60) | st.lists(st.integers(0, 300).map(str), max_size=300), CONFIGS)
def test_an_anchor_is_the_smallest_run_of_a_passage(words: list[str], config: OverlapConfig) -> None:
    """As written down in the paper: each passage by itself, and of each the smallest of its runs."""
    points = code_points(" ".join(words))
    classes, lower = character_tables()
    hashes, begins, _ = find_words(points, classes, lower)
    shares = [config.words if classes[points[begin]] == IDEOGRAPH else config.han_characters for begin in begins]
    run = run_words(config)
    runs = []
    for start in range(len(shares) - run + 1):
        value = 0
        for word in hashes[start : start + run].tolist():
            value = (value * int(BASE) + word) % 2**64
        runs.append(int(mix(np.uint64(value))))
    expected = set()
    for start in range(len(shares)):
        filled = np.cumsum(shares[start:])
        if filled[-1] >= config.words * config.han_characters:
            end = start + int(np.argmax(filled >= config.words * config.han_characters)) + 1
            expected.add(min(runs[start : end - run + 1]))
    assert anchors(" ".join(words), config).tolist() == sorted(expected)
