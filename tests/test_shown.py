"""What Dagster's pages show of facts: tables where they are tables, numbers as numbers, nothing without bounds."""

import json
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.metadata.metadata_value import TableMetadataValue
from hypothesis import given
from hypothesis import strategies as st

from resources.shown import FACT_CHARACTERS, JSON_CHARACTERS, ROWS, shown

PLAIN = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=20)
FACTS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6)
)


@given(FACTS)
def test_every_fact_can_be_shown_and_none_is_larger_than_its_bound(fact: Any) -> None:
    value = shown(fact)
    assert isinstance(value, dg.MetadataValue)
    if not isinstance(value, TableMetadataValue):
        assert len(json.dumps(value.value)) <= 2 * max(FACT_CHARACTERS, JSON_CHARACTERS)


@pytest.mark.parametrize(
    ("fact", "columns", "rows"),
    [
        ([{"task": "a", "tokens": 1200}, {"task": "b"}], ["task", "tokens"], [["a", "1,200"], ["b", "–"]]),
        ({"zh": {"items": 3, "share": 0.25}}, ["name", "items", "share"], [["zh", "3", "0.25"]]),
        ({"kinds": {"items": 9, "gold": {"class": 8}}}, ["name", "items", "gold"], [["kinds", "9", "class 8"]]),
        ({"before": -171.7444641, "after": True}, ["figure", "value"], [["before", "-171.744"], ["after", "yes"]]),
    ],
)
def test_lists_and_mappings_are_tables(fact: Any, columns: list[str], rows: list[list[str]]) -> None:
    """They once stood on the pages as JSON, eight lines for each row of the table that they are."""
    value = shown(fact)
    assert isinstance(value, TableMetadataValue)
    assert [column.name for column in value.schema.columns] == columns
    assert [list(record.data.values()) for record in value.records] == rows


def test_a_long_table_says_how_much_is_not_shown() -> None:
    value = shown([{"n": n} for n in range(ROWS + 5)])
    assert isinstance(value, TableMetadataValue)
    assert len(value.records) == ROWS + 1
    assert value.records[-1].data == {"n": "and 5 more"}
