"""Repairs over a column say what repairs of one text after another say."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.normalise import normalise
from lifecycle.curation.repair import WHITE_SPACE, repair
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
