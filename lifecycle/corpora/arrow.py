"""Arrow columns of strings and of numpy arrays, and what is done with columns.

`pyarrow.array` takes anything, and imports pandas at its first call to know a series when it sees one: a fifth of what a run
costs that finds all its results kept. Methods like `filter` import `pyarrow.compute`, which writes a function with its
documentation for each of 300 kernels, 0.1 seconds of every process: here kernels are called by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow._compute import CastOptions, FilterOptions, SortOptions, TakeOptions, call_function
from pyarrow.lib import StringBuilder  # pyright: ignore[reportMissingModuleSource, reportAttributeAccessIssue]

MOST_BYTES = 2**31 - 1
Rows = TypeVar("Rows", pa.Table, pa.Array, pa.ChunkedArray)
Column = TypeVar("Column", pa.Array, pa.ChunkedArray)


def strings(values: Iterable[str | None]) -> pa.StringArray:
    """A column of strings and nulls; raises UnicodeEncodeError where one holds a lone surrogate."""
    builder = StringBuilder()
    builder.append_values(values)
    return builder.finish()


def encoded_strings(values: Sequence[bytes]) -> pa.StringArray:
    """A column of strings that are in UTF-8; they are copied once, which a builder does three times as it grows.

    Raises:
        ArrowCapacityError: together they have 2 GiB or more, which the column cannot count.
    """
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=ends[1:])
    if ends[-1] > MOST_BYTES:
        raise pa.ArrowCapacityError(f"{ends[-1]:,} bytes of text in one row group, more than {MOST_BYTES:,}")
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(values)))


def numbers(values: NDArray[Any]) -> pa.Array:
    """A column of the numbers of a vector; nothing is copied where they lie one behind the other."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, pa.py_buffer(values)])


def _flags(values: NDArray[np.bool_]) -> pa.BooleanArray:
    return pa.Array.from_buffers(pa.bool_(), values.size, [None, pa.py_buffer(np.packbits(values, bitorder="little"))])


def rows_table(rows: Sequence[Mapping[str, str | None]], schema: pa.Schema) -> pa.Table:
    """A table of rows of strings; what a row lacks is null."""
    return pa.Table.from_arrays([strings([row.get(name) for row in rows]) for name in schema.names], schema=schema)


def filtered(rows: Rows, stays: NDArray[np.bool_]) -> Rows:
    """The rows of a table or column whose flag is set."""
    return call_function("filter", [rows, _flags(stays)], FilterOptions("drop"))


def taken(rows: Rows, places: NDArray[np.int64]) -> Rows:
    """Some rows of a table or column, in the order asked; raises ArrowIndexError where there is no such row."""
    return call_function("take", [rows, numbers(places)], TakeOptions(boundscheck=True))


def cast(column: Column, kind: pa.DataType) -> Column:
    """The column as another type; raises ArrowInvalid where a value would become another one."""
    return call_function("cast", [column], CastOptions.safe(kind))


def ascending(table: pa.Table) -> NDArray[np.uint64]:
    """The places of the rows in the order of the first column, among equals in that of the next, and so on."""
    order = call_function("sort_indices", [table], SortOptions([(name, "ascending") for name in table.column_names]))
    return np.frombuffer(order.buffers()[1], np.uint64)  # `to_numpy` imports pandas, a third of a second
