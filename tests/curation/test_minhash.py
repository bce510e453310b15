"""MinHash: the probability curve, and what is joined."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.buffers import encoded
from lifecycle.curation.minhash import EMPTY, signatures, threshold
from lifecycle.curation.words import IDEOGRAPH, character_tables, code_points, find_words, mix
from lifecycle.curation.words_in_bytes import hash_words
from lifecycle.recipe.corpora import MinHashConfig
from tests.curation.near import keepers

CONFIG = MinHashConfig()
VOCABULARY = [f"word{number}" for number in range(5000)]
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 3000)]


def random_text(seed: int, size: int = 200, chinese: bool = False) -> str:
    draw = random.Random(seed)
    return ("" if chinese else " ").join(draw.choices(HAN if chinese else VOCABULARY, k=size))


def pair_of_similarity(similarity: float, seed: int) -> tuple[str, str]:
    """Two texts whose sets of words have this Jaccard similarity; for shingles of one word."""
    words = random.Random(seed).sample(VOCABULARY, 400)
    shared = round(400 * similarity)
    own = (400 - shared) // 2
    return " ".join(words[: shared + own]), " ".join(words[:shared] + words[shared + own : shared + 2 * own])


@pytest.mark.parametrize("similarity", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_equal_places_estimate_the_jaccard_similarity(similarity: float) -> None:
    config = MinHashConfig(shingle=1, bands=32, rows=8)
    one, two = signatures(pair_of_similarity(similarity, seed=4), config)
    assert np.mean(one == two) == pytest.approx(similarity, abs=0.1)  # three standard errors of 256 places


@pytest.mark.parametrize(("similarity", "low", "high"), [(0.4, 0.0, 0.1), (0.95, 0.97, 1.0)])
def test_pairs_meet_as_the_curve_says(similarity: float, low: float, high: float) -> None:
    """1 - (1 - s^rows)^bands is 0.01 at s = 0.4, and 1.00 at 0.95."""
    met = 0
    for seed in range(60):
        config = MinHashConfig(shingle=1, seed=seed)
        cluster = keepers(list(pair_of_similarity(similarity, seed)), config)
        met += cluster[0] == cluster[1]
    assert low <= met / 60 <= high
    assert 0.7 < threshold(CONFIG) < 0.75


@pytest.mark.parametrize("chinese", [False, True])
def test_unrelated_texts_are_never_joined_and_near_copies_always(chinese: bool) -> None:
    unrelated = [random_text(seed, chinese=chinese) for seed in range(300)]
    changed = [text.replace(text.split()[50] if not chinese else text[50], "X", 1) for text in unrelated[:100]]
    cluster = keepers(unrelated + changed, CONFIG)
    assert cluster[:300] == list(range(300))
    assert np.mean(np.array(cluster[300:]) == np.arange(100)) > 0.98


def test_texts_without_words_and_short_texts() -> None:
    """Wordless texts all have the same empty set of shingles; that does not make them copies of each other."""
    texts = ["...", "!!!", "", "one", "One", "two words", "TWO, words!", "你好", "你 好", "你们"]
    assert keepers(texts, CONFIG) == [0, 1, 2, 3, 3, 5, 5, 7, 7, 9]


@settings(deadline=None)
@given(
    st.text() | st.text(st.sampled_from("aZ9é中文カ々한\u0301\u212a ,。\U00020000\ud800\uffff")),
    st.integers(0, 64),
    st.integers(0, 100),
)
def test_words_of_bytes_have_the_hashes_of_words_of_characters(text: str, before: int, behind: int) -> None:
    """Signatures and anchors read UTF-8, passages characters: what one of them takes for a word the other does, too."""
    classes, lower = character_tables()
    text = "x" * before + text + "x中" * (behind % 2) + "中" * (behind // 2)
    buffer, offsets = encoded(["中 before", text, "a" * behind])
    places = int(offsets[2] - offsets[1]) + WRITTEN
    hashes, alone, tail = np.empty(places, np.uint64), np.empty(places, np.bool_), np.empty(READ, np.uint8)
    count = hash_words(buffer, offsets[1], offsets[2], classes, lower, hashes, alone, tail)
    points = code_points(text)
    expected, begins, _ = find_words(points, classes, lower)
    assert hashes[:count].tolist() == expected.tolist()
    first = [int(point) for point in points[begins]]
    assert alone[:count].tolist() == [point < classes.size and classes[point] == IDEOGRAPH for point in first]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["one", "two", "三", "4", "five"]), max_size=30), st.integers(1, 6))
def test_a_signature_holds_the_least_hash_of_all_shingles(words: list[str], shingle: int) -> None:
    """Signatures are kept for years: the fast way must give the values of the plain one."""
    config = MinHashConfig(shingle=shingle, bands=3, rows=2, seed=5)
    drawn = np.random.Generator(np.random.PCG64(5)).integers(0, 2**64, size=(2, 6), dtype=np.uint64)
    classes, lower = character_tables()
    hashes, _, _ = find_words(code_points(" ".join(words)), classes, lower)
    width = min(shingle, hashes.size)
    shingles = np.zeros(hashes.size - width + 1 if hashes.size else 0, np.uint64)
    for index in range(width):
        shingles = np.array([mix(value) for value in shingles + hashes[index : index + shingles.size]], dtype=np.uint64)
    each = ((drawn[0] | np.uint64(1)) * shingles[:, None] + drawn[1]) >> np.uint64(32)
    expected = each.min(axis=0) if shingles.size else np.full(6, EMPTY)
    assert signatures([" ".join(words)], config)[0].tolist() == expected.tolist()
