"""Arrow columns of strings and of numpy arrays.

`pyarrow.array` takes anything, and imports pandas at its first call to know a series when it sees one: a fifth of what a run
costs that finds all its results kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.lib import StringBuilder  # pyright: ignore[reportMissingModuleSource, reportAttributeAccessIssue]


def strings(values: Iterable[str | bytes | None]) -> pa.StringArray:
    """A column of strings, as such or in UTF-8, and nulls; raises UnicodeEncodeError where one holds a lone surrogate."""
    builder = StringBuilder()
    builder.append_values(values)
    return builder.finish()


def numbers(values: NDArray[Any]) -> pa.Array:
    """A column of the numbers of a vector; nothing is copied where they lie one behind the other."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, pa.py_buffer(values)])


def flags(values: NDArray[np.bool_]) -> pa.BooleanArray:
    """A column of truth values, for `filter`."""
    return pa.Array.from_buffers(pa.bool_(), values.size, [None, pa.py_buffer(np.packbits(values, bitorder="little"))])


def rows_table(rows: Sequence[Mapping[str, str | None]], schema: pa.Schema) -> pa.Table:
    """A table of rows of strings; what a row lacks is null."""
    return pa.Table.from_arrays([strings([row.get(name) for row in rows]) for name in schema.names], schema=schema)
