"""The pass over the characters of one document: what they are, its words, and what each of its lines consists of.

Sixty-four bytes at a time, as Langdale and Lemire (2019) parse JSON: what a processor would have to guess of each character
is a bit of a mask, and counts are counts of bits. One by one come only words, ends of lines, and rare characters.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_classes import NONE, TOP, classes_of
from lifecycle.curation.block_flow import ellipses_of, reached, script_changes, sentence_ends
from lifecycle.curation.block_lines import Found, Line, end_last_line, end_lines
from lifecycle.curation.block_words import WRITTEN, readable, store_han, store_ideographs, store_runs
from lifecycle.curation.byte_masks import BLOCK, ONE, bytes_between
from lifecycle.curation.citations import citations_in
from lifecycle.curation.columns import (
    ALPHA_WORDS,
    CHARACTERS,
    COMMON_HAN,
    DIGITS,
    ELLIPSES,
    HAN,
    HASHES,
    LETTERS,
    SCRIPT_SWITCHES,
    SEGMENTS,
    SPACES,
    STOP_WORDS,
    SYMBOLS,
    WORD_CHARACTERS,
    WORDS,
)
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import bits_set
from lifecycle.curation.line_phrases import hints_of
from lifecycle.curation.word_ends import bits_of_stops

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Small = NDArray[np.int32]

_HASH = 35


@inner
def scan(
    buffer: Bytes,
    begin: int,
    end: int,
    wide: bool,
    marks: Marks,
    lower: Marks,
    stop_words: Hashes,
    hashes: Hashes,
    lengths: Small,
    spare: Bytes,
    tail: Bytes,
    row: Integers,
) -> int:
    """Count characters, words and lines of one document; returns how many words it stored in `hashes` and `lengths`.

    Args:
        hashes, lengths: places for the words, and `WRITTEN` more.
        spare: as many bytes as the document has.
        tail: `READ` bytes.
    """
    row[:] = 0
    room = hashes.size - WRITTEN
    begun = run_before = separator_before = NONE
    space_before = ONE
    letterless = latin = han = pending = material = NONE
    characters = letters = digits = spaces = han_characters = common = 0
    words = alpha_words = found_stops = 0
    hash_signs = dots = ellipses = switches = segments = 0
    stop_bits = bits_of_stops(stop_words, 0)
    line = Line(begin, 0, 0, 0, NONE, NONE)
    for position in range(begin, end, BLOCK):
        source, at = readable(buffer, position, tail)
        block = classes_of(source, at, buffer, position, end, marks, begun, run_before, space_before, separator_before)
        leads, each_word = block.leads, block.han | block.ideographs
        runs = block.run & leads & ~(block.run << ONE | run_before)
        starts = runs | each_word
        first_letters, letterless = reached(runs | letterless, block.run & ~block.alphabetic)
        changes, latin, han = script_changes(block, latin, han)
        sentences, pending, material = sentence_ends(block, pending, material)
        apart = block.spaces | block.separators
        cells = leads & ~apart & (apart << ONE | space_before | separator_before)
        parts = leads & ~block.spaces & (block.spaces << ONE | space_before)
        groups, dots = ellipses_of(block.dots, dots)

        characters += bits_set(leads)
        letters += bits_set((block.run | each_word) & leads & ~block.digits)
        digits += bits_set(block.digits)
        spaces += bits_set(block.spaces & leads)
        han_characters += bits_set(block.han | block.rare_han)
        alpha_words += bits_set(first_letters & block.alphabetic & block.run) + bits_set(
            (block.alphabetic | block.han) & each_word
        )
        segments += bits_set(cells)
        switches += changes
        ellipses += groups + bits_set(block.ellipses)
        hash_signs += bits_set(bytes_between(source, at, _HASH, _HASH) & leads)

        first = min(words, room)
        common += store_han(source, at, block, starts, first, hashes, lengths)
        store_ideographs(buffer, position, end, block, starts, first, hashes, lengths)
        found_stops, stop_bits = store_runs(
            source,
            at,
            buffer,
            position,
            end,
            block,
            runs,
            starts,
            first,
            marks,
            lower,
            hashes,
            lengths,
            stop_words,
            stop_bits,
            found_stops,
        )
        found = Found(starts, sentences, parts, citations_in(source, at) & leads, hints_of(source, at) & leads)
        line = end_lines(buffer, begin, position, block.breaks, found, line, wide, marks, spare, row)
        words += bits_set(starts)
        begun = block.beyond
        run_before, space_before, separator_before = block.run >> TOP, block.spaces >> TOP, block.separators >> TOP
    end_last_line(buffer, end, material, line, wide, marks, spare, row)
    symbols = characters - letters - digits - spaces
    row[CHARACTERS], row[SYMBOLS], row[DIGITS], row[SPACES] = characters, symbols, digits, spaces
    row[LETTERS], row[HAN], row[COMMON_HAN] = letters, han_characters, common
    row[WORDS], row[WORD_CHARACTERS], row[ALPHA_WORDS] = words, letters + digits, alpha_words
    row[HASHES], row[ELLIPSES], row[SCRIPT_SWITCHES], row[SEGMENTS] = hash_signs, ellipses, switches, segments
    while found_stops:
        row[STOP_WORDS] += found_stops & 1
        found_stops >>= 1
    return min(words, room)
