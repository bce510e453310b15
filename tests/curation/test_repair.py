"""Repairs over a column say what repairs of one text after another say."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.buffers import encoded
from lifecycle.curation.mojibake import ENCODINGS
from lifecycle.curation.normalise import NEEDED, control_characters, normalise, white_space
from lifecycle.curation.repair import WHITE_SPACE, around_difference, around_difference_of, repair
from lifecycle.curation.screen import ALIKE, FORM, MOJIBAKE, WHITE, flags_of, screen, screen_table
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import PiiConfig

PLAIN = CurationConfig()
EVERYTHING = CurationConfig(html_remnants=True, traditional_to_simplified=True, pii=PiiConfig())
ODD = list(" \t\n\r\u00a0\u3000\u200b\u200dÃâ€œ\u0301eéＡ１％<&aΑа한ᅡ中國\u0085\x1a\ufffd①Ⅳ　")
TEXTS = st.lists(
    st.text(st.characters(blacklist_categories=["Cs"]) | st.sampled_from(ODD), max_size=40)
    | st.lists(st.sampled_from(["word ", "\n", "\n\n\n\n", " \n", "中文。", "\t", "&amp;", "a@b.org", "Ã©"])).map("".join),
    min_size=1,
    max_size=5,
)


def one_by_one(text: str, config: CurationConfig) -> tuple[str, list[str]]:
    changes = list(normalise(text, config))
    return changes[-1][1] if changes else text, [rule for rule, _ in changes]


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.sampled_from([PLAIN, EVERYTHING]))
def test_a_column_is_repaired_as_its_texts_are(texts: list[str], config: CurationConfig) -> None:
    """The screen must let no text pass that a repair would change, and its own white space must be that of the rule."""
    found = repair(pa.array(texts), config)
    expected = [one_by_one(text, config) for text in texts]
    assert found.texts.to_pylist() == [text for text, _ in expected]
    assert found.characters.tolist() == [len(text) for text in texts]
    assert found.characters_left.tolist() == [len(text) for text, _ in expected]
    for number, (_, rules) in enumerate(expected):
        changes = [change for change in found.changes if change.document == number]
        assert [change.rule for change in changes] == rules
        assert sum(change.removed for change in changes) == len(texts[number]) - len(expected[number][0])


def slow_white_space(text: str) -> str:
    lines = re.sub("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", " ", text).split("\n")
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(line.rstrip(" \t") for line in lines)).strip("\n")


def slow_control_characters(text: str) -> str:
    meaning = "\u0600-\u08ff\u0900-\u0fff\u1000-\u109f\u1780-\u18af\u200d\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
    none = "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
    text = re.sub("\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text)
    return re.sub(f"{none}|(?<![{meaning}])[\u200c\u200d]", "", text)


PIECES = st.sampled_from([*ODD, "a", "中", "。", "а", "word ", "\u200c", "\u0627", "\u2028", "<b>", "\U00020000"])
LONG = st.integers(1, 70).flatmap(
    lambda size: st.sampled_from(["文", "a", "，", "\u302a", "b\n"]).map(lambda piece: piece * size)
)
"""So much of what no repair changes, that everything else comes at any place of what the screen looks at at once."""


def slow_flags(text: str) -> int:
    """What the screen sees, character by character."""
    marks, found = screen_table(), 0
    for before, character in zip(["", *text], text, strict=False):
        mark, mark_before = (int(marks[ord(each)]) if each and ord(each) < len(marks) else 0 for each in (character, before))
        found |= FORM if ord(character) >= len(marks) else mark & 0xFF
        pairs = (mark_before >> 12) & (mark >> 22) & (1 << len(ENCODINGS)) - 1
        found |= MOJIBAKE if pairs or before + character == "Ã " else 0
        for one, other in ((mark, before), (mark_before, character)):
            found |= ALIKE if one & 512 and other.isascii() and other.isalpha() else 0
    return found | (WHITE if slow_white_space(text) != text else 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES | LONG, max_size=20).map("".join), min_size=1, max_size=3))
def test_the_screen_sees_of_many_characters_at_once_what_it_sees_of_each(texts: list[str]) -> None:
    """In a column, whose texts begin anywhere and lie side by side."""
    flags, characters = np.zeros(len(texts), np.uint16), np.zeros(len(texts), np.int64)
    screen(*encoded(texts), screen_table(), flags, characters)
    assert flags.tolist() == [slow_flags(text) for text in texts]
    assert characters.tolist() == [len(text) for text in texts]


@pytest.mark.parametrize("piece", ["\n" * 4, " \n", "\u3000", "<", "Ã ", "аb", "，\u302a", "Ã©"])
def test_the_place_of_what_is_repaired_does_not_matter(piece: str) -> None:
    """Before, on and behind the edge of what is looked at at once, which may cut a character."""
    texts = ["文" + "a" * size + piece + "b" * 130 for size in range(66)]
    flags, characters = np.zeros(len(texts), np.uint16), np.zeros(len(texts), np.int64)
    screen(*encoded(texts), screen_table(), flags, characters)
    assert flags.tolist() == [slow_flags(text) for text in texts]
    assert [white_space(text) for text in texts] == [slow_white_space(text) for text in texts]


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | st.lists(PIECES | LONG).map("".join))
def test_no_repair_changes_a_text_without_its_flag(text: str) -> None:
    """The rule is not even called there."""
    seen = flags_of(text)
    for rule, needed in NEEDED.items():
        assert seen & needed or rule(text) == text, rule.__name__
    assert white_space(text) == slow_white_space(text)
    assert (white_space(text) != text) == bool(seen & WHITE)
    assert control_characters(text) == slow_control_characters(text)


def test_lone_surrogates_pass() -> None:
    assert white_space("\ud800\u3000x \n") == "\ud800 x"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_part_of_a_column_is_read_where_it_lies(kind: pa.DataType) -> None:
    column = pa.array(["first ", "second \n", "third", "前 "], kind)
    assert repair(column.slice(1, 3), PLAIN).texts.to_pylist() == ["second", "third", "前"]
    assert repair(pa.chunked_array([column, column]), PLAIN).texts.to_pylist() == ["first", "second", "third", "前"] * 2
    assert repair(pa.array([], kind), PLAIN).texts.to_pylist() == []


def test_clean_text_is_not_copied() -> None:
    column = pa.array(["clean text", "干净的文字。"], pa.large_string())
    assert repair(column, PLAIN).texts.buffers()[2].address == column.buffers()[2].address
    assert [change.rule for change in repair(pa.array(["tail "]), PLAIN).changes] == [WHITE_SPACE]


LONG = st.builds(
    lambda piece, times: (piece * times)[:900], st.text("a é中𠮷\n", min_size=1, max_size=7), st.integers(0, 300)
)


@settings(max_examples=300, deadline=None)
@given(LONG, st.text("a é中𠮷\n", max_size=3), st.text("a é中𠮷\n", max_size=3), LONG)
def test_the_sample_of_a_repair_is_the_same_whether_all_of_the_text_is_decoded(
    same: str, old: str, new: str, rest: str
) -> None:
    """Characters that share their first bytes, and windows that begin or end within one, are cut where whole texts are."""
    before, after = same + old + rest, same + new + rest
    assert around_difference_of(before.encode(), after.encode()) == around_difference(before, after)
