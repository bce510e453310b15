"""The statistics kernel: every count that the quality and repetition rules read, straight from UTF-8 bytes.

Compiled by numba, without the interpreter lock. A document is read from beginning to end once; each of its lines is then
looked at while it is still in the processor's cache. The parts are in `scan` and `lines`.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.byte_masks import characters_between, count_of
from lifecycle.curation.columns import (
    COLUMNS,
    COVERED_BIGRAM,
    LINE_RUNS,
    NEWLINES,
    PARAGRAPHS,
    REPEATED_LINE_CHARACTERS,
    REPEATED_LINES,
    REPEATED_PARAGRAPH_CHARACTERS,
    REPEATED_PARAGRAPHS,
    REPEATED_STRIPPED_CHARACTERS,
    REPEATED_TEXT_CHARACTERS,
    SHORT_LINES_10,
    SHORT_LINES_30,
    TERMINAL_LINES,
    TEXT_LINES,
)
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.line_hashes import hash_bytes, hash_line
from lifecycle.curation.lines import stripped
from lifecycle.curation.marks import TERMINAL
from lifecycle.curation.ngrams import RESULTS, enter, new_table, repetition, seen_size, table_mask
from lifecycle.curation.scan import scan
from lifecycle.curation.utf8 import decode
from lifecycle.curation.word_hashes import enter_eight
from lifecycle.curation.words import SEED, mix

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Small = NDArray[np.int32]

MEASURED_WORDS = 1 << 21
MEASURED_LINES = 1 << 20
"""Repetition is measured in the first 2 M words and 1 M lines of a document, so that its memory has a bound."""
RAW, STRIPPED, PARAGRAPH = np.uint64(0x9E37), np.uint64(0x79B9), np.uint64(0x7F4A)
"""One table holds the lines as they are, without white space around them, and the paragraphs."""
NEWLINE = 10


@compiled
def score(
    buffer: Bytes, offsets: Integers, wide: Bytes, marks: Marks, lower: Marks, stop_words: Hashes, out: NDArray[np.int64]
) -> None:
    """Fill row i of `out` (documents, COLUMNS) for the document between offsets i and i + 1.

    `wide` says of each document whether its lines and words are judged by the rules for Chinese and Japanese (see
    `finish_line`). `stop_words` are words of up to eight letters, each as one integer, the first letter its lowest byte.
    Bytes that are not UTF-8 count as one symbol each.
    """
    words, lines, longest = 16, 16, 16
    newlines = np.zeros(offsets.size - 1, np.int64)
    for i in range(offsets.size - 1):
        size = offsets[i + 1] - offsets[i]
        newlines[i] = count_of(buffer, offsets[i], offsets[i + 1], NEWLINE, NEWLINE)
        longest = max(longest, size)
        words = max(words, min(size // 2 + 2, MEASURED_WORDS))
        lines = max(lines, min(newlines[i] + 1, MEASURED_LINES))
    table, line_table = new_table(MEASURED_WORDS >> 8), new_table(3 * lines)
    hashes, lengths = np.empty(words + WRITTEN, np.uint64), np.empty(words + WRITTEN, np.int32)
    scratch = np.empty((5, words), np.uint32)
    keys, seen = np.empty(words, np.uint64), np.empty(seen_size(words), np.uint8)
    grams = np.empty(RESULTS, np.int64)
    citation_free, tail = np.empty(longest, np.uint8), np.empty(READ, np.uint8)
    stops = np.empty(stop_words.size, np.uint64)
    for i in range(stop_words.size):
        stops[i] = enter_eight(SEED, stop_words[i])
    stamp = 0
    for i in range(offsets.size - 1):
        begin, end, row = offsets[i], offsets[i + 1], out[i]
        count = scan(buffer, begin, end, wide[i] != 0, marks, lower, stops, hashes, lengths, citation_free, tail, row)
        _repeated_lines(buffer, begin, end, newlines[i], marks, line_table, i + 1, row)
        if 2 * table_mask(count) > table.size:
            table = new_table(2 * count)
        stamp = repetition(hashes, lengths, count, table, scratch, keys, seen, stamp, grams)
        for place in range(RESULTS):
            row[COVERED_BIGRAM + place] = grams[place]


@inner
def _repeated_lines(
    buffer: Bytes, begin: int, end: int, newlines: int, marks: Marks, table: Hashes, stamp: int, row: Integers
) -> None:
    """Lines between newlines and paragraphs between empty lines, and which of them were there before.

    `row[LINE_RUNS]` counts lines as `re.split("\\n+")` gives them: an empty first or last one counts.
    """
    row[NEWLINES] = newlines
    mask = table_mask(3 * min(newlines + 1, MEASURED_LINES))
    inner, inner_end = stripped(buffer, begin, end, marks)
    row[PARAGRAPHS] = 1
    paragraph, paragraph_characters = PARAGRAPH, 0
    number = 0
    first = begin
    while first <= end:
        raw, last, characters = hash_line(buffer, first, end)
        known = number < MEASURED_LINES
        number += 1
        if last > first:
            row[LINE_RUNS] += 1
            repeated = known and enter(table, mask, stamp, mix(raw ^ RAW), number) != number
            if repeated:
                row[REPEATED_LINES] += 1
                row[REPEATED_LINE_CHARACTERS] += characters
            here, there = stripped(buffer, first, last, marks)
            if here < there:
                bare = hash_bytes(buffer, here, there) if there - here < last - first else raw
                _text_line(buffer, last, characters, marks, row)
                if repeated:
                    row[REPEATED_TEXT_CHARACTERS] += characters
                if known and enter(table, mask, stamp, mix(bare ^ STRIPPED), number) != number:
                    row[REPEATED_STRIPPED_CHARACTERS] += characters_between(buffer, here, there)
        if first < inner_end and last >= inner and (last > first):
            left, right = max(first, inner), min(last, inner_end)
            if left > first or right < last:
                raw, characters = hash_bytes(buffer, left, right), characters_between(buffer, left, right)
            paragraph = mix(paragraph * np.uint64(31) + raw)
            paragraph_characters += characters + 1
        if paragraph_characters and (last == first or last >= inner_end):
            if last < inner_end:
                row[PARAGRAPHS] += 1
            if known and enter(table, mask, stamp, mix(paragraph ^ PARAGRAPH), number) != number:
                row[REPEATED_PARAGRAPHS] += 1
                row[REPEATED_PARAGRAPH_CHARACTERS] += paragraph_characters - 1
            paragraph, paragraph_characters = PARAGRAPH, 0
        first = last + 1
    outer = (1 if buffer[begin] == NEWLINE else 0) + (1 if buffer[end - 1] == NEWLINE else 0) if end > begin else 1
    row[LINE_RUNS] += outer
    row[REPEATED_LINES] += outer == 2


@inner
def _text_line(buffer: Bytes, last: int, characters: int, marks: Marks, row: Integers) -> None:
    """Count a line that holds more than white space and ends before byte `last`."""
    row[TEXT_LINES] += 1
    row[SHORT_LINES_10] += characters <= 10
    row[SHORT_LINES_30] += characters <= 30
    start = last - 1
    while buffer[start] & 0xC0 == 0x80:
        start -= 1
    point, _ = decode(buffer, start, last)
    row[TERMINAL_LINES] += point < marks.size and marks[point] & TERMINAL != 0


WIDTH = len(COLUMNS)
