"""The words that begin in a block: their hashes and lengths, each at its place in the order of the text."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

from lifecycle.curation.block_classes import Classes
from lifecycle.curation.byte_masks import BLOCK, ONE
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import EIGHT, bits_set, lowest_bit
from lifecycle.curation.marks import COMMON_BITS
from lifecycle.curation.utf8 import decode
from lifecycle.curation.word_ends import end_word
from lifecycle.curation.word_hashes import hash_letters, hash_run

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Lengths = NDArray[np.int32] | NDArray[np.bool_]
"""Where nothing but ones is written of characters that are words."""

_HAN_BYTES = 3
READ = BLOCK + 4 * EIGHT
"""Bytes that are read of a block and behind it, whatever these are."""
WRITTEN = BLOCK + 4 * EIGHT
"""Places from that of a block's first word on into which is written, whatever is behind its last one."""
_inlined: Any = intrinsic
"""Of unknown type, as callers leave the first argument out."""


@inner
def readable(buffer: Bytes, position: int, tail: Bytes) -> tuple[Bytes, int]:
    """Where `READ` bytes can be read that begin as those from `position` on: there, or near the end in a copy in `tail`."""
    if position + READ <= buffer.size:
        return buffer, position
    for place in range(buffer.size - position):
        tail[place] = buffer[position + place]
    return tail, 0


@inner
def place_in_order(starts: np.uint64, left: np.uint64, first: int) -> np.uint64:
    """The place of the word that begins at the lowest bit of `left`, of the words that begin at `starts`, the first of which
    has place `first`."""
    return np.uint64(first + bits_set(starts & (left ^ (left - ONE)) >> ONE))


@inner
def run_of(classes: Classes, place: int) -> tuple[int, bool]:
    """How many bytes of the block belong to the run of letters and digits that begins at `place`, and whether it is known to
    be ASCII and to end within the block."""
    size = lowest_bit(~(classes.run >> np.uint64(place)))
    return size, not classes.beyond_ascii and place + size < BLOCK


@inner
def store_han(
    source: Bytes, at: int, classes: Classes, starts: np.uint64, first: int, hashes: Hashes, lengths: Lengths
) -> int:
    """Store the Han characters of a block as they are, as pairs of words are mixed; returns how many of them are common.

    Args:
        source, at: the bytes of the block.
        starts: where its words begin, the first of which has place `first`.
    """
    common = 0
    whole = classes.han | classes.han << ONE | classes.han << np.uint64(2)
    left = classes.han
    while left:
        place = lowest_bit(left)
        index = place_in_order(starts, left, first)
        size = min(EIGHT, (lowest_bit(~(whole >> np.uint64(place))) + 2) // _HAN_BYTES)
        left &= ~((ONE << np.uint64(_HAN_BYTES * size)) - ONE << np.uint64(place))
        _store_eight(source, at + place, hashes, index)
        bits = np.uint64(0)
        for each in range(EIGHT):
            lengths[index + np.uint64(each)] = 1
            point = hashes[index + np.uint64(each)]
            bits |= np.uint64(
                COMMON_BITS[point >> np.uint64(5)] >> np.uint32(point & np.uint64(31)) & np.uint32(1)
            ) << np.uint64(each)
        common += bits_set(bits & (ONE << np.uint64(size)) - ONE)
    return common


@inner
def store_ideographs(
    buffer: Bytes, position: int, end: int, classes: Classes, starts: np.uint64, first: int, hashes: Hashes, lengths: Lengths
) -> None:
    """Store the other characters of the block from `position` on that are words; none of them has a lower case."""
    left = classes.ideographs
    while left:
        index = place_in_order(starts, left, first)
        point, _ = decode(buffer, position + lowest_bit(left), end)
        hashes[index] = np.uint64(point)
        lengths[index] = 1
        left &= left - ONE


@inner
def store_runs(
    source: Bytes,
    at: int,
    buffer: Bytes,
    position: int,
    end: int,
    classes: Classes,
    runs: np.uint64,
    starts: np.uint64,
    first: int,
    marks: Marks,
    lower: Marks,
    hashes: Hashes,
    lengths: NDArray[np.int32],
    stop_words: Hashes,
    stop_bits: np.uint64,
    found: int,
) -> tuple[int, np.uint64]:
    """Store the words that are `runs` of letters and digits; `found` and `stop_bits` as `end_word` has them."""
    while runs:
        place = lowest_bit(runs)
        index = place_in_order(starts, runs, first)
        size, short = run_of(classes, place)
        runs &= runs - ONE
        if short:
            value = hash_letters(source, at + place, size)
        else:
            value, size = hash_run(buffer, position + place, end, marks, lower)
        found, stop_bits = end_word(value, size, index, hashes, lengths, stop_words, stop_bits, found)
    return found, stop_bits


@_inlined
def _store_eight(typingctx: Any, source: Any, at: Any, hashes: Any, place: Any) -> tuple[Signature, Any]:
    """Write eight characters of three bytes of UTF-8 each, which must be so many as code points to eight places."""

    def store(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bytes_of, places = (_pointer(context, builder, signature.args[i], *args[i : i + 2]) for i in (0, 2))
        block = builder.load(builder.bitcast(bytes_of, ir.VectorType(ir.IntType(8), 4 * EIGHT).as_pointer()), align=1)
        wide = ir.VectorType(ir.IntType(64), EIGHT)
        points = ir.Constant(wide, [0] * EIGHT)
        for which, (bits, shift) in enumerate(((0x0F, 12), (0x3F, 6), (0x3F, 0))):
            chosen = ir.Constant(ir.VectorType(ir.IntType(32), EIGHT), [_HAN_BYTES * i + which for i in range(EIGHT)])
            part = builder.zext(builder.shuffle_vector(block, block, chosen), wide)
            part = builder.and_(part, ir.Constant(wide, [bits] * EIGHT))
            points = builder.or_(points, builder.shl(part, ir.Constant(wide, [shift] * EIGHT)))
        builder.store(points, builder.bitcast(places, wide.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(source, types.int64, hashes, types.uint64), store


def _pointer(context: Any, builder: Any, kind: Any, value: Any, place: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, value).data, [place])
