"""The pass over the characters of one document: what they are, its words, and what each of its lines consists of.

Runs of ASCII letters and digits, blanks and Han characters are most of all text; each has a short way through the loop.
"""

import numpy as np
from numpy.typing import NDArray

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
from lifecycle.curation.eight_bytes import EIGHT, byte_at, up_to_eight_bytes
from lifecycle.curation.lines import finish_line
from lifecycle.curation.marks import ALPHABETIC, BREAK, CLASS, CLOSER, COMMON, END, SEPARATOR, WIDE_END
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.utf8 import decode
from lifecycle.curation.word_ends import bits_of_stops, end_word
from lifecycle.curation.words import (
    DIGIT,
    IDEOGRAPH,
    IN_RUN,
    LETTER,
    PRIME,
    SEED,
    SPACE,
    enter_run,
    han_of,
    mix,
)

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Small = NDArray[np.int32]

_NEWLINE, _RETURN, _BLANK, _DOT, _HASH, _BRACKET, _ELLIPSIS = 10, 13, 32, 46, 35, 91, 0x2026


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
    row: Integers,
) -> int:
    """Count characters, words and lines of one document; returns how many words it stored in `hashes` and `lengths`."""
    row[:] = 0
    symbols = letters = digits = spaces = han = common = 0
    words = alpha_words = found_stops = 0
    hash_signs = dots = ellipses = switches = script = segments = 0
    inside = in_segment = alphabetic = False
    value, length = SEED, 0
    line, line_words, cr = begin, 0, False
    # Of the line so far: sentences, words between white space, characters of the last and the longest of these.
    sentences = blank_words = blank_length = longest = 0
    material = pending = bracket = False
    stop_bits = bits_of_stops(stop_words, 0)
    position = begin
    while position < end:
        byte = byte_at(buffer, position)
        if IN_RUN[byte]:
            if not inside:
                inside = True
                value, length, alphabetic = SEED, 0, False
            start = position
            numbers = 0
            step = EIGHT
            while step == EIGHT:
                value, step, digits_of_step = enter_run(value, up_to_eight_bytes(buffer, position, end))
                numbers += digits_of_step
                position += step
            size = position - start
            length += size
            digits += numbers
            letters += size - numbers
            if size > numbers:
                alphabetic = True
                switches += script == 2
                script = 1
            segments += not in_segment
            in_segment = True
            dots = 0
            cr = False
            blank_length += size
            material, pending = True, False
            inside = position < end and byte_at(buffer, position) >= 0x80
            if not inside:
                words, found_stops, stop_bits = end_word(
                    value, length, words, hashes, lengths, stop_words, stop_bits, found_stops
                )
                alpha_words += alphabetic
                if position < end and byte_at(buffer, position) == _BLANK:  # as below, for most words
                    spaces += 1
                    in_segment = False
                    blank_words += 1
                    longest = max(longest, blank_length)
                    blank_length = 0
                    position += 1
            continue
        if byte == _BLANK:
            if inside:
                inside = False
                words, found_stops, stop_bits = end_word(
                    value, length, words, hashes, lengths, stop_words, stop_bits, found_stops
                )
                alpha_words += alphabetic
            spaces += 1
            in_segment = cr = False
            blank_words += blank_length > 0
            longest = max(longest, blank_length)
            dots = blank_length = 0
            if pending:
                sentences += 1
                material = pending = False
            position += 1
            continue
        if byte >= 0x80:
            start = words
            han_character = han_of(up_to_eight_bytes(buffer, position, end))
            if han_character and inside:
                inside = False
                words, found_stops, stop_bits = end_word(
                    value, length, words, hashes, lengths, stop_words, stop_bits, found_stops
                )
                alpha_words += alphabetic
                start = words
            while han_character:
                if words < hashes.size:
                    hashes[words] = han_character  # as it is: pairs of words are mixed
                    lengths[words] = 1
                words += 1
                common += marks[han_character] & COMMON != 0
                position += 3
                han_character = han_of(up_to_eight_bytes(buffer, position, end))
            size = words - start
            if size:
                letters += size
                han += size
                alpha_words += size
                switches += script == 1
                script = 2
                segments += not in_segment
                in_segment = True
                dots = 0
                cr = False
                longest = max(longest, blank_length)
                blank_length = 1 if wide else blank_length + size
                material, pending = True, False
                continue
        if byte < 0x80:
            point, width = np.int64(byte), 1
        else:
            point, width = decode(buffer, position, end)
        mark = marks[point] if point < marks.size else np.uint32(0)
        kind = mark & CLASS
        position += width
        in_run = kind in (LETTER, DIGIT)
        if inside and not in_run:
            inside = False
            words, found_stops, stop_bits = end_word(
                value, length, words, hashes, lengths, stop_words, stop_bits, found_stops
            )
            alpha_words += alphabetic
        if mark == 0 and point != _HASH and point != _BRACKET:  # a comma or the like
            symbols += 1
            segments += not in_segment
            in_segment = True
            cr = pending = False
            dots = 0
            blank_length += 1
            continue
        if kind == SPACE:
            spaces += 1
            in_segment = False
            blank_words += blank_length > 0
            longest = max(longest, blank_length)
            dots = blank_length = 0
            if pending:
                sentences += 1
                material = pending = False
            if mark & BREAK:
                if not (cr and point == _NEWLINE):
                    stop = position - width
                    finish_line(
                        buffer,
                        line,
                        stop,
                        words - line_words,
                        wide,
                        marks,
                        spare,
                        row,
                        sentences + material,
                        blank_words,
                        longest,
                        bracket,
                    )
                sentences = blank_words = longest = 0
                material = bracket = False
                line, line_words = position, words
                cr = point == _RETURN
            else:
                cr = False
            continue
        cr = False
        if kind == IDEOGRAPH:
            value = (SEED ^ np.uint64(lower[point])) * PRIME
            if words < hashes.size:
                hashes[words] = mix(value)
                lengths[words] = 1
            words += 1
            alpha_words += mark & ALPHABETIC != 0
            letters += 1
        elif in_run:
            if not inside:
                inside = True
                value, length, alphabetic = SEED, 0, False
            value = (value ^ np.uint64(lower[point])) * PRIME
            length += 1
            alphabetic = alphabetic or mark & ALPHABETIC != 0
            letters += kind == LETTER
            digits += kind == DIGIT
        else:
            symbols += 1
        if mark & HAN_MARK:
            han += 1
            common += mark & COMMON != 0
            switches += script == 1
            script = 2
        elif kind == LETTER and mark & ALPHABETIC:
            switches += script == 2
            script = 1
        if mark & SEPARATOR:
            in_segment = False
        elif not in_segment:
            in_segment = True
            segments += 1
        if point == _DOT:
            dots += 1
            if dots == 3:
                ellipses += 1
                dots = 0
        else:
            dots = 0
            hash_signs += point == _HASH
            ellipses += point == _ELLIPSIS
            bracket = bracket or point == _BRACKET
        longest = max(longest, blank_length)
        blank_length = 1 if wide and kind == IDEOGRAPH else blank_length + 1
        if kind != 0:
            material, pending = True, False
        elif mark & WIDE_END:
            sentences += material
            material = pending = False
        elif mark & END:
            pending = material
        elif not mark & CLOSER:
            pending = False
    if inside:
        words, found_stops, stop_bits = end_word(value, length, words, hashes, lengths, stop_words, stop_bits, found_stops)
        alpha_words += alphabetic
    if line < end:
        blank_words += blank_length > 0
        longest = max(longest, blank_length)
        finish_line(
            buffer,
            line,
            end,
            words - line_words,
            wide,
            marks,
            spare,
            row,
            sentences + material,
            blank_words,
            longest,
            bracket,
        )
    row[CHARACTERS], row[SYMBOLS], row[DIGITS], row[SPACES] = letters + digits + symbols + spaces, symbols, digits, spaces
    row[LETTERS], row[HAN], row[COMMON_HAN] = letters, han, common
    row[WORDS], row[WORD_CHARACTERS], row[ALPHA_WORDS] = words, letters + digits, alpha_words
    row[HASHES], row[ELLIPSES], row[SCRIPT_SWITCHES], row[SEGMENTS] = hash_signs, ellipses, switches, segments
    while found_stops:
        row[STOP_WORDS] += found_stops & 1
        found_stops >>= 1
    return min(words, hashes.size)
