"""Words, statistics, quality rules and language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.columns import COLUMNS
from lifecycle.curation.language import language_of
from lifecycle.curation.measures import MEASURES
from lifecycle.curation.quality import RULES, decisions
from lifecycle.curation.statistics import statistics
from lifecycle.curation.words import words
from lifecycle.recipe.corpora import CurationConfig

ENGLISH = (
    "Return the number of elements that the container holds. The count is computed when it is asked for, so that a caller "
    "who needs it often should keep it; changing the container afterwards does not change a number kept before."
)
CHINESE = (
    "深度学习是机器学习的一个分支，它使用多层神经网络来学习数据的表示。"
    "近年来，深度学习在图像识别和自然语言处理等领域取得了很大进展，改变了许多行业的面貌。"
)
RIGHTS = "All rights reserved by the owner."
FRENCH = "Cette fonction renvoie le nombre d'éléments que contient la liste, et lève une erreur quand elle est vide."
GERMAN = "Die Funktion gibt die Anzahl der Elemente zurück, die in der Liste enthalten sind, oder einen Fehler."


def test_the_word_rule() -> None:
    """Han, kana and hangul characters are words of their own; marks belong to the letter before them."""
    assert words("Hello, World_2! 中文test x² e\u0301a") == ["Hello", "World", "2", "中", "文", "test", "x²", "e\u0301a"]
    assert words("カナ 한국") == ["カ", "ナ", "한", "국"]
    assert words(" ,.\n") == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_words_hold_all_letters_and_digits(text: str) -> None:
    assert [c for c in "".join(words(text)) if c.isalpha()] == [c for c in text if c.isalpha()]


def decide(text: str, config: CurationConfig = CurationConfig(), language: str = "en") -> str:
    return str(decisions(statistics([text], [language]), [language], config)[0])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_shares_are_shares(text: str) -> None:
    counts = statistics([text], ["en"])
    assert tuple(counts) == COLUMNS
    assert int(counts["characters"][0]) == len(text)
    bounded = [name for name in MEASURES if name.endswith("_share") and not name.startswith("top_")]
    assert {name for name in bounded if not 0 <= MEASURES[name](counts)[0] <= 1} == set()


def test_statistics_by_hand() -> None:
    found = statistics(["ab 12\n中!\nab 12\n", "buy now " * 10], ["en", "en"])
    assert found["characters"].tolist() == [15, 80]
    shares = {name: MEASURES[name](found) for name in MEASURES}
    assert shares["symbol_share"][0] == pytest.approx(1 / 15)
    assert shares["digit_share"][0] == pytest.approx(4 / 10)
    assert shares["letter_share"][0] == pytest.approx(5 / 10)
    assert shares["duplicate_line_share"][0] == pytest.approx(5 / 15)
    assert shares["covered_bigram_share"][1] == pytest.approx(60 / 80)
    assert found["top_2gram"][1] == 70
    assert found["repeated_5gram"][1] == 45  # at the third word, and twice more behind the repetition before


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (ENGLISH, "kept"),
        (CHINESE, "kept"),
        ("Too short.", "too_short"),
        ("很短", "too_short"),
        ("word " * 210_000, "too_long"),
        (ENGLISH[:60] + "=-+*|/" * 30, "symbols"),
        ("Revision f5bac2c36fad of 2021-01-13 10:48:24.022054, then 2022-03-25 10:28:53.372766", "digits"),
        ("[" * 3 + " . " * 100, "few_letters"),
        (
            "\n".join([ENGLISH[:70], *[RIGHTS] * 10]),
            "duplicate_lines",
        ),
        ("Cheap watches here. " + "buy now, buy now and " * 12, "repeated_bigram"),
        ("澳门赌场" * 40, "repeated_bigram"),
    ],
)
def test_each_rule(text: str, rule: str | None) -> None:
    assert decide(text) == rule


def test_every_rule_says_what_it_means() -> None:
    assert all(rule.description for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert {rule.measure for rule in RULES} <= set(MEASURES)


@pytest.mark.parametrize(
    "text",
    [
        "Serialize non tensor data into binary string, tensor data into\ntensor table",
        "Create a frozen n-dimensional uniform direction distribution.\n\nSee `uniform_direction` for more information.",
        "Register all periodic tasks with the given huey instance.\n\n"
        "Args:\n    huey_instance: The huey instance to register tasks with.",
    ],
)
def test_short_texts_may_name_their_subject_twice(text: str) -> None:
    """Counted from two occurrences on, the bigram rule dropped one sound documentation string in fifty."""
    assert decide(text) == "kept"


@pytest.mark.parametrize(
    ("text", "declared", "language"),
    [
        (ENGLISH, "zh", "en"),
        (CHINESE, "en", "zh"),
        ("電腦軟體的發展與應用，改變了許多行業的面貌。", "en", "zh"),
        ("使用 `pip install torch` 安装 PyTorch，然后 import torch 即可。See https://pytorch.org/docs", "en", "zh"),
        (
            "Cette fonction renvoie le nombre d'éléments que contient la liste, et lève une erreur quand elle est vide.",
            "en",
            "fr",
        ),
        (
            "Die Funktion gibt die Anzahl der Elemente zurück, die in der Liste enthalten sind, oder einen Fehler.",
            "en",
            "de",
        ),
        ("これは日本語で書かれた文章であり、漢字とかなが混ざっています。言語の判定を試すために使います。" * 3, "zh", "ja"),
        ("이 문장은 한국어로 쓰여 있으며 언어 판별을 시험하기 위해 사용됩니다. " * 5, "en", "ko"),
        ("x = foo(bar)", "en", "en"),
        (">>> a.b_c(1)\n[0, 1, 2]\n>>> np.zeros((3, 4))\narray([[0.]])", "en", "en"),
        ("Voilà", "en", "en"),
    ],
)
def test_language(text: str, declared: str, language: str) -> None:
    """Short and codey text says nothing: the source's own statement stands."""
    assert language_of(text, declared, 0.3) == language
