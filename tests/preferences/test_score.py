"""The reference score must be a score: bounded, 1 for the reference, and not to be won with loops."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.preferences.score import reference_score, similarity, words

TEXT = st.text(alphabet="ab c路径文件.,\n", max_size=60)


@given(TEXT)
def test_the_reference_itself_scores_one(text: str):
    assert reference_score(text, text) == 1.0


@given(TEXT, TEXT)
def test_scores_stay_in_bounds_and_similarity_is_symmetric(left: str, right: str):
    assert 0.0 <= reference_score(left, right) <= 1.0
    assert 0.0 <= reference_score(left, right, finished=False) <= reference_score(left, right)
    assert similarity(left, right) == similarity(right, left)


def test_known_value():
    """4 of 5 and 4 words in common, in order: F1 = RougeL = 8/9."""
    assert abs(reference_score("return the path of it", "return the path it") - 8 / 9) < 1e-12


def test_word_order_counts():
    assert reference_score("path the return", "return the path") < reference_score("return the path", "return the path")


def test_loops_and_cut_answers_lose():
    reference = "Return the absolute path of a file"
    looping = "Return the absolute path of a file " * 4
    assert reference_score(looping, reference) < 0.2
    assert reference_score(looping, reference) < reference_score("Return the path", reference)
    assert reference_score(reference, reference, finished=False) == 0.8


def test_repetition_of_the_reference_itself_is_not_held_against_the_answer():
    reference = "a b c a b c a b c"
    assert reference_score(reference, reference) == 1.0


def test_empty_answers_score_nothing():
    assert reference_score("", "Return the path") == 0.0
    assert reference_score("...", "Return the path") == 0.0


def test_han_characters_are_words():
    """A Chinese sentence without spaces must not be one word that only matches as a whole."""
    assert words("返回path的路径") == ["返", "回", "path", "的", "路", "径"]
    assert 0 < reference_score("返回文件", "返回文件的路径") < 1
