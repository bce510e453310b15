"""The compiled kernel says what plain Python says, on whatever text."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.columns import COLUMNS
from lifecycle.curation.kernel import MEASURED_WORDS
from lifecycle.curation.rewrite import c4_lines
from lifecycle.curation.statistics import statistics, statistics_of_arrow
from tests.curation.slow_statistics import slow_statistics

PIECES = [
    *"\n\n\r\t\v\x1c\x85\u2028\u3000 \u00a0#-•.!?\"'()[]{|｜…。！？，”」a的b是了1２İıß",
    *"ẞΣ\u0301\u200b\U0001f600\U00020000\U000e0100\ud800",
    *("the ", "be ", "to ", "of ", "and ", "that ", "word ", "ab", "12", "...", "\r\n", "\n\n", "\n", " ", "[12]", "[edit]"),
    *("\u212aelvin ", "kelvin ", "internationally ", "\u0130nternationally", "caf\xe9s ", "слова ", "ja[1]vascript", "[]"),
    *("[citation needed]", "lorem ipsum", "Lorem Ipsum ", "JavaScript", "uses cookies", "Privacy Policy", "third word. "),
    *(
        "第三章",
        "第十2節 ",
        "第",
        "目录....... 12",
        "深度学习。",
        "我们在学习",
        "A sentence here.\n",
        "buy now ",
        "x" * 1001,
    ),
]
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))


def check(text: str, language: str = "en") -> None:
    fast = {name: int(values[0]) for name, values in statistics([text], [language]).items()}
    slow = slow_statistics(text, language)
    differences = {name: (fast[name], slow.get(name, 0)) for name in COLUMNS if fast[name] != slow.get(name, 0)}
    assert not differences, "column: (kernel, Python)"


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from(["en", "zh"]))
def test_the_kernel_equals_plain_python(text: str, language: str) -> None:
    check(text, language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_kernel_equals_plain_python_wherever_a_block_of_bytes_ends(language: str) -> None:
    """It looks at 64 bytes at once; what begins in one block and ends in the next one is one run, word, line or sentence."""
    pieces = (
        "中文写作的人 so. \u3000”They said：…” 3.5 ....\r\n- ｜b|c\tcafés и слова ",
        "\U00020000\U0001f600か。\u2028[12] [edit] JavaScript. use cookies now!\x85the and",
    )
    for size in range(64):
        for piece in pieces:
            check("b" * size + piece + "汉字" * 12 + piece, language)


@pytest.mark.parametrize("longest", [1000, 1001])
@pytest.mark.parametrize("before", ["", "汉", "two ", "\u3000", "é" * 100 + " "])
def test_a_word_longer_than_c4_allows_is_found_in_a_long_line(longest: int, before: str) -> None:
    text = f"{before}{'x' * longest} and three more words here." + " Some more words." * 100
    check(text, "en")
    check(text, "zh")


def test_words_are_counted_beyond_those_that_are_kept() -> None:
    size = MEASURED_WORDS + 1000
    counts = statistics(["的" * size + " a b"], ["zh"])
    assert (counts["words"][0], counts["han"][0], counts["common_han"][0]) == (size + 2, size, size)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        " \n \n",
        "\0",
        "\0\n\0",
        "\ud800\udfff",
        "😀" * 50,
        "a",
        "的",
        "a\r\n\r\nb\r\n\r\na",
        "\na\n\na\n",
    ],
)
def test_texts_with_next_to_nothing_in_them(text: str) -> None:
    check(text)
    check(text, "zh")


def test_a_megabyte_in_one_line() -> None:
    check("All work and no play makes Jack a dull boy. 只工作不玩耍。" * 15_000)
    check("x" * 1_000_000)
    check("的" * 300_000, "zh")


def test_documents_do_not_see_each_other() -> None:
    """The tables of one call serve all of its documents; entries of the one before must not count."""
    texts = ["the same line\nthe same line\n" * 3, "the same line\n", "", "the same line\n"]
    together = statistics(texts, ["en"] * 4)
    for place, text in enumerate(texts):
        alone = statistics([text], ["en"])
        assert {name: together[name][place] for name in COLUMNS} == {name: alone[name][0] for name in COLUMNS}


def test_an_arrow_column_is_read_where_it_lies() -> None:
    texts = ["dropped", "Some text.", "", "中文。", "end"]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(texts, kind)[1:4]
        found, expected = statistics_of_arrow(column, ["en"] * 3), statistics(texts[1:4], ["en"] * 3)
        assert {name: found[name].tolist() for name in COLUMNS} == {name: expected[name].tolist() for name in COLUMNS}
    with pytest.raises(ValueError, match="1 texts are null"):
        statistics_of_arrow(pa.array(["a", None]), ["en"] * 2)


def test_bytes_that_are_not_utf8_are_counted_not_followed() -> None:
    """Arrow does not check its strings; a lead byte at the end must not make the kernel read on."""
    data = b"ab\xf0\x9f" + b"\xff\xe4\xb8"
    column = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0\7\0\0\0"), pa.py_buffer(data)])
    found = statistics_of_arrow(column, ["en", "zh"])
    assert found["characters"].tolist() == [4, 3]
    assert found["symbols"].tolist() == [2, 3]


def test_a_character_cut_off_at_the_end_of_a_document_does_not_take_bytes_of_the_next_one() -> None:
    """The bytes of two documents lie side by side, and sixty-four of them are looked at at once."""
    for before in range(70):
        for cut, rest in (
            (b"\xe4\xb8", b"\xad."),
            (b"\xe4", b"\xb8\xad."),
            (b"\xf0\xa0\x80", b"\x80."),
            (b"\xc3", b"\xa9."),
        ):
            one, two = b"a" * before + cut, rest + b" b" * 40
            ends = np.array([0, len(one), len(one) + len(two)], dtype=np.int32)
            column = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(one + two)])
            found = statistics_of_arrow(column, ["zh", "zh"])
            assert found["characters"].tolist() == [len(one), len(two)]
            assert found["symbols"].tolist() == [len(cut), len(rest)]
            assert found["han"].tolist() == [0, 0]


def test_c4_rewriting_keeps_the_lines_that_are_counted() -> None:
    text = "Home | About\nThis is a line of text.[1]\nToo short.\nWe use cookies on this page.\nAnother line to keep here!"
    assert c4_lines(text, "en") == "This is a line of text.\nAnother line to keep here!"
    assert statistics([text], ["en"])["c4_lines"].tolist() == [2]
    assert c4_lines("首页 | 关于\n这是一行正文，应当保留。\n这里没有结束", "zh") == "这是一行正文，应当保留。"


def test_a_long_document_between_short_ones() -> None:
    """The table of n-grams grows with the longest document so far, and still holds what shorter ones entered."""
    drawn = random.Random(0)
    common = [f"w{number}" for number in range(3000)]
    long = " ".join(drawn.choice(common) for _ in range(30_000)) + " one two three four five six" * 3
    texts = ["a b c a b c a b c", long, "a b c a b c d", "深度学习" * 5]
    counts = statistics(texts, ["en"] * len(texts))
    for place, text in enumerate(texts):
        slow = slow_statistics(text, "en")
        assert {name: int(counts[name][place]) for name in COLUMNS} == {name: slow.get(name, 0) for name in COLUMNS}
