"""Shared passages: what is found, what is not, and that a hash alone never decides."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation import passages
from lifecycle.curation.passages import PassageIndex
from lifecycle.curation.windows import folded_words
from lifecycle.recipe.corpora import OverlapConfig
from tests.curation.test_minhash import random_text

CONFIG = OverlapConfig()


def test_thirteen_words_are_a_passage_and_twelve_are_not() -> None:
    item = random_text(1, 40)
    index = PassageIndex([item], CONFIG)
    words = item.split()
    assert index.find(random_text(2) + " " + " ".join(words[5:18]) + " " + random_text(3))
    assert not index.find(random_text(2) + " " + " ".join(words[5:17]) + " " + random_text(3))


def test_thirty_han_characters_are_a_passage_and_twenty_nine_are_not() -> None:
    item = random_text(1, 80, chinese=True)
    index = PassageIndex([item], CONFIG)
    around = random_text(2, 60, chinese=True)
    assert index.find(around + "，" + item[10:40] + "。")
    assert not index.find(around + "，" + item[10:39] + "。")


def test_mixed_text_adds_up() -> None:
    """14 Han characters (14/30) and 7 words (7/13) are just one passage."""
    item = random_text(4, 14, chinese=True) + " " + random_text(5, 7)
    index = PassageIndex([item], CONFIG)
    assert index.passages == 1
    assert index.find("前面 " + item + " after")
    assert not index.find("前面 " + item[1:] + " after")


def test_case_punctuation_and_layout_do_not_hide_a_passage_and_places_are_exact() -> None:
    item = "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins."
    document = "Before: JANET'S   ducks lay 16 eggs\nper day -- she eats three, for breakfast every morning! Then more."
    (shared,) = PassageIndex(["something else entirely", item], CONFIG).find(document)
    assert shared.text == 1
    assert (
        document[slice(*shared.here)]
        == "JANET'S   ducks lay 16 eggs\nper day -- she eats three, for breakfast every morning"
    )
    assert item[slice(*shared.there)] == "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning"


def test_counting_is_no_passage() -> None:
    index = PassageIndex([", ".join(map(str, range(50))), "0 " * 40], CONFIG)
    assert index.passages == 0
    assert index.silent == 2
    assert not index.find(" | ".join(map(str, range(30))))


def test_two_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words decide: with a hash that is the same for everything, nothing false is found and nothing true is lost."""
    item, other = random_text(1, 13), random_text(2, 13)
    index = PassageIndex([item], CONFIG)
    real = passages.windows_of

    def colliding(text: str, config: OverlapConfig):
        (_, starts, ends), words = real(text, config)
        return (np.full(starts.size, index._hashes.hashes[0], dtype=np.uint64), starts, ends), words

    monkeypatch.setattr(passages, "windows_of", colliding)
    assert not index.find(other)
    assert index.find(item)


def test_the_first_passage_is_looked_for_behind_one_of_the_same_hash() -> None:
    item, other = random_text(1, 13), random_text(2, 13)
    index = PassageIndex([item, other], CONFIG)
    index._numbers[:] = 0  # as if the other text had a hash of the item
    assert index.first(other) is None
    (shared,) = index.find(f"{other} {item}")
    assert index.first(f"{other} {item}") == shared


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab 的了12,\n", max_size=60), max_size=5), st.text(alphabet="ab 的了12,\n", max_size=80))
def test_the_same_as_looking_for_every_window_of_words(items: list[str], document: str) -> None:
    config = OverlapConfig(words=3, han_characters=4)

    def windows(text: str) -> set[tuple[str, ...]]:
        words = folded_words(text)
        found = set()
        for start in range(len(words)):
            filled, end = 0, start
            while filled < 12 and end < len(words):
                filled += 3 if words[end] in "的了" else 4
                end += 1
            numbers = sum(word[0] in "12" for word in words[start:end])
            if filled >= 12 and 2 * numbers <= end - start:
                found.add(tuple(words[start:end]))
        return found

    expected = set().union(*map(windows, items)) & windows(document) if items else set()
    index = PassageIndex(items, config)
    assert bool(index.find(document)) == bool(expected)
    assert index.first(document) == next(iter(index.find(document)), None)
    for shared in index.find(document):
        assert folded_words(document[slice(*shared.here)]) == folded_words(items[shared.text][slice(*shared.there)])


def test_surrogates_and_characters_of_high_planes() -> None:
    text = "\ud800 " + "\U0010fffd " + random.Random(1).choice("ab") * 3 + " \U000e0101" + random_text(3, 20)
    assert PassageIndex([text], CONFIG).find("x " + text)
