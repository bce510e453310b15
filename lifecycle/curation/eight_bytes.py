"""Eight bytes of UTF-8 at a time, as one integer, for compiled code: what plain text has most of need not be looked at one
by one. The first byte is the lowest one, whatever the machine.
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

EIGHT = 8
_inlined: Any = intrinsic
"""Of unknown type, as callers leave the first argument out."""
ONES, HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@_inlined
def eight_bytes(typingctx: Any, buffer: Any, position: Any) -> tuple[Signature, Any]:
    """The bytes from `position` on, of which there must be eight."""

    def load(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.load(_pointer(context, builder, signature, args), align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint64(buffer, types.int64), load


@_inlined
def byte_at(typingctx: Any, buffer: Any, position: Any) -> tuple[Signature, Any]:
    """One byte; `buffer[position]` would first ask whether the position counts from the end, and wait for the answer."""

    def load(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load(builder.gep(array.data, [args[1]]))

    return types.uint8(buffer, types.int64), load


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())


@_inlined
def lowest_bit(typingctx: Any, word: Any) -> tuple[Signature, Any]:
    """The number of the lowest bit that is set, 0 to 63; 64 where none is."""

    def count(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], cgutils.false_bit)

    return types.int64(types.uint64), count


@_inlined
def bits_set(typingctx: Any, word: Any) -> tuple[Signature, Any]:
    """How many bits are set."""

    def count(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), count


@inner
def up_to_eight_bytes(buffer: NDArray[np.uint8], position: int, end: int) -> np.uint64:
    """The bytes from `position` on, with zeros for those behind `end`."""
    if position + EIGHT <= end:
        return eight_bytes(buffer, position)
    word = np.uint64(0)
    for place in range(position, end):
        word |= np.uint64(buffer[place]) << np.uint64(8 * (place - position))
    return word


@inner
def bytes_like(word: np.uint64, byte: int) -> np.uint64:
    """The highest bit of each byte that is this one."""
    other = word ^ (ONES * np.uint64(byte))
    return ~(((other & ~HIGH) + ~HIGH) | other) & HIGH


@inner
def continuations(word: np.uint64) -> int:
    """Bytes of the eight that continue a character of UTF-8."""
    return bits_set(word & ~(word << np.uint64(1)) & HIGH)
