"""The statistics kernel: every count that the quality and repetition rules read, straight from UTF-8 bytes.

Compiled by numba, without the interpreter lock. A document is read from beginning to end once; each of its lines is then
looked at while it is still in the processor's cache. `lifecycle.curation.lines` has the part that looks at one line.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.columns import (
    ALPHA_WORDS,
    CHARACTERS,
    COLUMNS,
    COMMON_HAN,
    COVERED_BIGRAM,
    DIGITS,
    ELLIPSES,
    HAN,
    HASHES,
    LETTERS,
    LINE_RUNS,
    NEWLINES,
    PARAGRAPHS,
    REPEATED_LINE_CHARACTERS,
    REPEATED_LINES,
    REPEATED_PARAGRAPH_CHARACTERS,
    REPEATED_PARAGRAPHS,
    REPEATED_STRIPPED_CHARACTERS,
    REPEATED_TEXT_CHARACTERS,
    SCRIPT_SWITCHES,
    SEGMENTS,
    SHORT_LINES_10,
    SHORT_LINES_30,
    SPACES,
    STOP_WORDS,
    SYMBOLS,
    TERMINAL_LINES,
    TEXT_LINES,
    WORD_CHARACTERS,
    WORDS,
)
from lifecycle.curation.lines import finish_line, hash_bytes, stripped
from lifecycle.curation.marks import ALPHABETIC, BREAK, CLASS, COMMON, SEPARATOR, TERMINAL
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.ngrams import RESULTS, enter, repetition, table_mask
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import mix

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


@numba.njit(cache=True, nogil=True)
def score(
    buffer: Bytes, offsets: Integers, wide: Bytes, marks: Marks, lower: Marks, stop_words: Hashes, out: NDArray[np.int64]
) -> None:
    """Fill row i of `out` (documents, COLUMNS) for the document between offsets i and i + 1.

    `wide` says of each document whether its lines and words are judged by the rules for Chinese and Japanese (see
    `finish_line`). `stop_words` are hashes of words. Bytes that are not UTF-8 count as one symbol each.
    """
    words, lines, longest = 16, 16, 16
    for i in range(offsets.size - 1):
        size = offsets[i + 1] - offsets[i]
        newlines = 0
        for position in range(offsets[i], offsets[i + 1]):
            newlines += buffer[position] == NEWLINE
        longest = max(longest, size)
        words = max(words, min(size // 2 + 2, MEASURED_WORDS))
        lines = max(lines, min(newlines + 1, MEASURED_LINES))
    slots = table_mask(words) + 1
    keys, stamps, names = np.empty(slots, np.uint64), np.zeros(slots, np.int32), np.empty(slots, np.int32)
    slots = table_mask(3 * lines) + 1
    line_keys, line_stamps, line_names = np.empty(slots, np.uint64), np.zeros(slots, np.int32), np.empty(slots, np.int32)
    hashes, lengths = np.empty(words, np.uint64), np.empty(words, np.int32)
    scratch = np.empty((5, words), np.int32)
    grams = np.empty(RESULTS, np.int64)
    citation_free = np.empty(longest, np.uint8)
    stamp = 0
    for i in range(offsets.size - 1):
        begin, end, row = offsets[i], offsets[i + 1], out[i]
        count = _scan(buffer, begin, end, wide[i] != 0, marks, lower, stop_words, hashes, lengths, citation_free, row)
        _repeated_lines(buffer, begin, end, marks, line_keys, line_stamps, line_names, i + 1, row)
        stamp = repetition(hashes, lengths, count, keys, stamps, names, scratch, stamp, grams)
        for place in range(RESULTS):
            row[COVERED_BIGRAM + place] = grams[place]


@numba.njit(cache=True, nogil=True)
def _scan(
    buffer: Bytes,
    begin: int,
    end: int,
    wide: bool,
    marks: Marks,
    lower: Marks,
    stop_words: Hashes,
    hashes: Hashes,
    lengths: Small,
    citation_free: Bytes,
    row: Integers,
) -> int:
    """Count characters, words and lines of one document; returns how many words it stored."""
    row[:] = 0
    kinds = np.zeros(8, np.int64)
    characters = han = common = words = word_characters = alpha_words = found_stops = 0
    hash_signs = dots = ellipses = switches = script = segments = 0
    inside = in_segment = alphabetic = False
    value, length = np.uint64(0), 0
    line, line_words, cr = begin, 0, False
    position = begin
    while position < end:
        point, width = decode(buffer, position, end)
        mark = marks[point] if point < marks.size else np.uint32(0)
        kind = mark & CLASS
        kinds[kind] += 1
        in_run = kind == 1 or kind == 2
        if inside and not in_run:
            inside = False
            words, found_stops = _end_word(mix(value), length, words, hashes, lengths, stop_words, found_stops)
            word_characters += length
            alpha_words += alphabetic
        if in_run:
            if not inside:
                inside = True
                value, length, alphabetic = np.uint64(0xCBF29CE484222325), 0, False
            value = (value ^ np.uint64(lower[point])) * np.uint64(0x100000001B3)
            length += 1
            alphabetic = alphabetic or mark & ALPHABETIC != 0
        elif kind == 4:
            value = (np.uint64(0xCBF29CE484222325) ^ np.uint64(lower[point])) * np.uint64(0x100000001B3)
            words, found_stops = _end_word(mix(value), 1, words, hashes, lengths, stop_words, found_stops)
            word_characters += 1
            alpha_words += mark & ALPHABETIC != 0
        if mark & HAN_MARK:
            han += 1
            common += mark & COMMON != 0
            switches += script == 1
            script = 2
        elif kind == 1 and mark & ALPHABETIC:
            switches += script == 2
            script = 1
        if kind == 3 or mark & SEPARATOR:
            in_segment = False
        elif not in_segment:
            in_segment = True
            segments += 1
        if point == 46:
            dots += 1
            if dots == 3:
                ellipses += 1
                dots = 0
        else:
            dots = 0
            hash_signs += point == 35
            ellipses += point == 0x2026
        if mark & BREAK:
            if not (cr and point == NEWLINE):
                finish_line(buffer, line, position, words - line_words, wide, marks, citation_free, row)
            line, line_words = position + width, words
            cr = point == 13
        else:
            cr = False
        characters += 1
        position += width
    if inside:
        words, found_stops = _end_word(mix(value), length, words, hashes, lengths, stop_words, found_stops)
        word_characters += length
        alpha_words += alphabetic
    if line < end:
        finish_line(buffer, line, end, words - line_words, wide, marks, citation_free, row)
    row[CHARACTERS], row[SYMBOLS], row[DIGITS], row[SPACES] = characters, kinds[0], kinds[2], kinds[3]
    row[LETTERS], row[HAN], row[COMMON_HAN] = kinds[1] + kinds[4], han, common
    row[WORDS], row[WORD_CHARACTERS], row[ALPHA_WORDS] = words, word_characters, alpha_words
    row[HASHES], row[ELLIPSES], row[SCRIPT_SWITCHES], row[SEGMENTS] = hash_signs, ellipses, switches, segments
    while found_stops:
        row[STOP_WORDS] += found_stops & 1
        found_stops >>= 1
    return min(words, hashes.size)


@numba.njit(cache=True, nogil=True)
def _end_word(
    hashed: np.uint64, length: int, words: int, hashes: Hashes, lengths: Small, stop_words: Hashes, found: int
) -> tuple[int, int]:
    """Store a word; returns the number of words, and the stop words found so far as bits."""
    if words < hashes.size:
        hashes[words] = hashed
        lengths[words] = length
    if length <= 4:
        for i in range(stop_words.size):
            if stop_words[i] == hashed:
                found |= 1 << i
    return words + 1, found


@numba.njit(cache=True, nogil=True)
def _repeated_lines(
    buffer: Bytes, begin: int, end: int, marks: Marks, keys: Hashes, stamps: Small, names: Small, stamp: int, row: Integers
) -> None:
    """Lines between newlines and paragraphs between empty lines, and which of them were there before.

    `row[LINE_RUNS]` counts lines as `re.split("\\n+")` gives them: an empty first or last one counts.
    """
    most = 1
    for position in range(begin, end):
        most += buffer[position] == NEWLINE
    row[NEWLINES] = most - 1
    mask = table_mask(3 * min(most, MEASURED_LINES))
    inner, inner_end = stripped(buffer, begin, end, marks)
    row[PARAGRAPHS] = 1
    paragraph, paragraph_characters = PARAGRAPH, 0
    number = 0
    first = begin
    while first <= end:
        last = first
        characters = 0
        while last < end and buffer[last] != NEWLINE:
            characters += buffer[last] & 0xC0 != 0x80
            last += 1
        known = number < MEASURED_LINES
        number += 1
        raw = hash_bytes(buffer, first, last)
        if last > first:
            row[LINE_RUNS] += 1
            repeated = known and enter(keys, stamps, names, mask, stamp, mix(raw ^ RAW), number) != number
            if repeated:
                row[REPEATED_LINES] += 1
                row[REPEATED_LINE_CHARACTERS] += characters
            here, there = stripped(buffer, first, last, marks)
            if here < there:
                bare = hash_bytes(buffer, here, there) if there - here < last - first else raw
                _text_line(buffer, last, characters, marks, row)
                if repeated:
                    row[REPEATED_TEXT_CHARACTERS] += characters
                if known and enter(keys, stamps, names, mask, stamp, mix(bare ^ STRIPPED), number) != number:
                    row[REPEATED_STRIPPED_CHARACTERS] += _characters(buffer, here, there)
        if first < inner_end and last >= inner and (last > first):
            left, right = max(first, inner), min(last, inner_end)
            if left > first or right < last:
                raw, characters = hash_bytes(buffer, left, right), _characters(buffer, left, right)
            paragraph = mix(paragraph * np.uint64(31) + raw)
            paragraph_characters += characters + 1
        if paragraph_characters and (last == first or last >= inner_end):
            if last < inner_end:
                row[PARAGRAPHS] += 1
            if known and enter(keys, stamps, names, mask, stamp, mix(paragraph ^ PARAGRAPH), number) != number:
                row[REPEATED_PARAGRAPHS] += 1
                row[REPEATED_PARAGRAPH_CHARACTERS] += paragraph_characters - 1
            paragraph, paragraph_characters = PARAGRAPH, 0
        first = last + 1
    outer = (1 if buffer[begin] == NEWLINE else 0) + (1 if buffer[end - 1] == NEWLINE else 0) if end > begin else 1
    row[LINE_RUNS] += outer
    row[REPEATED_LINES] += outer == 2


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def _characters(buffer: Bytes, begin: int, end: int) -> int:
    count = 0
    for position in range(begin, end):
        count += buffer[position] & 0xC0 != 0x80
    return count


WIDTH = len(COLUMNS)
