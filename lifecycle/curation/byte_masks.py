"""Sixty-four bytes of UTF-8 at a time for compiled code: which of them lie between two values, one bit for each.

The first byte is the lowest bit, whatever the machine. LLVM makes a few vector instructions of it on any processor.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

BLOCK = 64
ONE, ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_inlined: Any = intrinsic
"""Of unknown type, as callers leave the first argument out."""


@_inlined
def bytes_between(typingctx: Any, buffer: Any, position: Any, first: Any, last: Any) -> tuple[Signature, Any]:
    """Of the `BLOCK` bytes from `position` on, which must be there: those of `first` to `last`."""

    def compare(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        block = builder.load(builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer()), align=1)
        low, high = (_everywhere(builder, vector, value) for value in args[2:])
        within = builder.icmp_unsigned("<=", builder.sub(block, low), builder.sub(high, low))
        bits = builder.bitcast(within, ir.IntType(BLOCK))
        return bits if sys.byteorder == "little" else builder.bitreverse(bits)

    return types.uint64(buffer, types.int64, types.int64, types.int64), compare


def _everywhere(builder: Any, vector: ir.VectorType, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), builder.trunc(value, vector.element), ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), places)
