"""Columns that are put together from bytes are those that Arrow builds of strings."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.corpora.arrow import encoded_strings, strings


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_encoded_strings_are_those_strings(texts: list[str]) -> None:
    column = encoded_strings([text.encode() for text in texts])
    column.validate(full=True)
    assert column.equals(strings(texts))


def test_more_than_a_column_counts_is_refused() -> None:
    """Its offsets have 32 bits: one that begins anew would give parts of other texts, and no error."""
    with pytest.raises(pa.ArrowCapacityError, match="2,147,483,648 bytes"):
        encoded_strings([bytes(1 << 20)] * 2048)
