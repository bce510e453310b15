"""Sixty-four bytes of UTF-8 at a time for compiled code: which of them lie between two values, one bit for each.

The first byte is the lowest bit, whatever the machine. LLVM makes a few vector instructions of it on any processor.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import bits_set, byte_at

BLOCK = 64
ONE, TWO, ALL = np.uint64(1), np.uint64(2), np.uint64(0xFFFFFFFFFFFFFFFF)
LAST = np.uint64(3 << 62)
"""The last two bytes of a block: what follows them within the next two is not in it."""
_inlined: Any = intrinsic
"""Of unknown type, as callers leave the first argument out."""


@_inlined
def bytes_between(typingctx: Any, buffer: Any, position: Any, first: Any, last: Any) -> tuple[Signature, Any]:
    """Of the `BLOCK` bytes from `position` on, which must be there: those of `first` to `last`."""

    def compare(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = builder.load(_pointer(context, builder, signature.args[0], *args[:2]), align=1)
        low, high = (_everywhere(builder, block.type, value) for value in args[2:])
        within = builder.icmp_unsigned("<=", builder.sub(block, low), builder.sub(high, low))
        bits = builder.bitcast(within, ir.IntType(BLOCK))
        return bits if sys.byteorder == "little" else builder.bitreverse(bits)

    return types.uint64(buffer, types.int64, types.int64, types.int64), compare


@_inlined
def letters_like(typingctx: Any, buffer: Any, position: Any, letter: Any) -> tuple[Signature, Any]:
    """Of the same bytes those that are this letter of lower case, or its upper case."""

    def compare(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = builder.load(_pointer(context, builder, signature.args[0], *args[:2]), align=1)
        folded = builder.or_(block, ir.Constant(block.type, [0x20] * BLOCK))
        bits = builder.bitcast(
            builder.icmp_unsigned("==", folded, _everywhere(builder, block.type, args[2])), ir.IntType(BLOCK)
        )
        return bits if sys.byteorder == "little" else builder.bitreverse(bits)

    return types.uint64(buffer, types.int64, types.int64), compare


@_inlined
def copy_block(typingctx: Any, buffer: Any, position: Any, out: Any, place: Any) -> tuple[Signature, Any]:
    """Write the `BLOCK` bytes from `position` on to `place` and behind, where there must be room for them."""

    def copy(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = builder.load(_pointer(context, builder, signature.args[0], *args[:2]), align=1)
        builder.store(block, _pointer(context, builder, signature.args[2], *args[2:]), align=1)
        return context.get_dummy_value()

    return types.void(buffer, types.int64, out, types.int64), copy


@_inlined
def highest_bit(typingctx: Any, word: Any) -> tuple[Signature, Any]:
    """The number of the highest bit that is set, 0 to 63; -1 where none is."""

    def count(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sub(args[0].type(BLOCK - 1), builder.ctlz(args[0], cgutils.false_bit))

    return types.int64(types.uint64), count


def _pointer(context: Any, builder: Any, kind: Any, value: Any, position: Any) -> Any:
    array = context.make_array(kind)(context, builder, value)
    return builder.bitcast(builder.gep(array.data, [position]), ir.VectorType(ir.IntType(8), BLOCK).as_pointer())


def _everywhere(builder: Any, vector: ir.VectorType, value: Any) -> Any:
    """A vector of this one value."""
    undefined = ir.Constant(vector, ir.Undefined)
    places = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), None)
    one = builder.insert_element(undefined, builder.trunc(value, vector.element), ir.IntType(32)(0))
    return builder.shuffle_vector(one, undefined, places)


@inner
def characters_between(buffer: NDArray[np.uint8], begin: int, end: int) -> int:
    """Characters of UTF-8 that begin in a range of bytes."""
    return end - begin - count_of(buffer, begin, end, 0x80, 0xBF)


@inner
def count_of(buffer: NDArray[np.uint8], begin: int, end: int, first: int, last: int) -> int:
    """How many bytes of a range lie between two values."""
    count = 0
    position = begin
    while position + BLOCK <= end:
        count += bits_set(bytes_between(buffer, position, first, last))
        position += BLOCK
    while position < end:
        count += first <= byte_at(buffer, position) <= last
        position += 1
    return count
