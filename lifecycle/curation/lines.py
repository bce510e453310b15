"""One line of a document: what it begins and ends with, its sentences, and whether C4 would keep it."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.citations import without_citations
from lifecycle.curation.columns import (
    BULLET_LINES,
    C4_LINES,
    C4_SENTENCES,
    CONTENTS_LINES,
    CURLY_LINES,
    ELLIPSIS_LINES,
    JAVASCRIPT_LINES,
    LINES,
    LOREM_IPSUM_LINES,
    POLICY_LINES,
    SENTENCE_LINES,
    SENTENCES,
)
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import up_to_eight_bytes
from lifecycle.curation.line_phrases import CURLY, LOREM, POLICY, SCRIPT, phrases_in
from lifecycle.curation.marks import CLASS, CLOSER, END, TERMINAL, WIDE_END
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import IDEOGRAPH, SPACE, han_of

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]

C4_MIN_WORDS = 3
C4_LONGEST_WORD = 1000
"""The paper's and its code's conditions on a line (Raffel et al. 2020); a document's are in the recipe."""

_BLANK = 32
_CHAPTER_NUMERALS = np.array(
    [ord(c) for c in "零〇一二三四五六七八九十百千两0123456789０１２３４５６７８９"], dtype=np.int64
)
_CHAPTER_UNITS = np.array([ord(c) for c in "章节回卷部篇集節"], dtype=np.int64)


@inner
def stripped(buffer: Bytes, begin: int, end: int, marks: Marks) -> tuple[int, int]:
    """The range without white space at either side, as `str.strip`."""
    while begin < end:
        point, width = decode(buffer, begin, end)
        if point >= marks.size or marks[point] & CLASS != SPACE:
            break
        begin += width
    while end > begin:
        start = _last(buffer, begin, end)
        point, _ = decode(buffer, start, end)
        if point >= marks.size or marks[point] & CLASS != SPACE:
            break
        end = start
    return begin, end


@inner
def _last(buffer: Bytes, begin: int, end: int) -> int:
    """Where the last character before `end` begins."""
    start = end - 1
    while start > begin and buffer[start] & 0xC0 == 0x80:
        start -= 1
    return start


@inner
def finish_line(
    buffer: Bytes,
    begin: int,
    end: int,
    words: int,
    wide: bool,
    marks: Marks,
    spare: Bytes,
    row: NDArray[np.int64],
    sentences: int | np.int64,
    blank_words: int,
    citation: bool,
    hint: bool,
) -> None:
    """Count one line (as `str.splitlines` gives it), which has `words` words by the project's rule.

    Args:
        sentences, blank_words, citation, hint: what `scan` found in the line: sentences, words between white space, any of
            `citations_in`, and any of `hints_of`.

    C4 keeps a line that ends in . ? ! " ' but not in an ellipsis, has three words between white space, none of them
    longer than 1000 characters, and speaks neither of JavaScript nor of cookies and terms; citations like [1] are taken
    out first (Raffel et al. 2020 and its code). With `wide`, words are the project's, and the line may end in what ends
    a sentence in either script, closing quotation marks and brackets after it included.
    """
    row[LINES] += 1
    begin, end = stripped(buffer, begin, end, marks)
    if begin >= end:
        return
    first, _ = decode(buffer, begin, end)
    row[BULLET_LINES] += first == 0x2D or first == 0x2022
    row[ELLIPSIS_LINES] += _ends_in_ellipsis(buffer, begin, end)
    row[CONTENTS_LINES] += _is_contents(buffer, begin, end)
    row[SENTENCE_LINES] += _ends_sentence(buffer, begin, end, marks)
    row[SENTENCES] += sentences
    if (words if wide else blank_words) < C4_MIN_WORDS or _has_long_word(buffer, begin, end, wide, marks):
        return
    if citation:
        size = without_citations(buffer, begin, end, spare)
        if size < end - begin:
            buffer, begin, end = spare, 0, size
            sentences = _sentences(buffer, begin, end, marks)
            hint = True  # what was taken out may have been within a phrase
    if begin >= end or _ends_in_ellipsis(buffer, begin, end, not wide):
        return
    if not (_ends_sentence(buffer, begin, end, marks) if wide else _ends_as_in_c4(buffer[end - 1])):
        return
    found = phrases_in(buffer, begin, end) if hint else 0
    row[LOREM_IPSUM_LINES] += found & LOREM != 0
    row[JAVASCRIPT_LINES] += found & SCRIPT != 0
    if found & SCRIPT:
        return
    row[CURLY_LINES] += found & CURLY != 0
    row[POLICY_LINES] += found & POLICY != 0
    if found & POLICY == 0:
        row[C4_LINES] += 1
        row[C4_SENTENCES] += sentences


@inner
def _has_long_word(buffer: Bytes, begin: int, end: int, wide: bool, marks: Marks) -> bool:
    """Whether a word between white space has more than `C4_LONGEST_WORD` characters; with `wide`, one also begins at each
    Han or kana character."""
    start = begin
    while end - start > C4_LONGEST_WORD:  # in so many bytes or less no word is too long
        stop = start + C4_LONGEST_WORD
        while stop > start and buffer[stop] != _BLANK and not (wide and han_of(up_to_eight_bytes(buffer, stop, end))):
            stop -= 1
        if stop == start:
            return _holds_long_word(buffer, begin, end, wide, marks)
        start = stop
    return False


@inner
def _holds_long_word(buffer: Bytes, begin: int, end: int, wide: bool, marks: Marks) -> bool:
    """The same, character by character."""
    length, start = 0, begin
    while start < end:
        point, width = decode(buffer, start, end)
        kind = marks[point] & CLASS if point < marks.size else 0
        length = 0 if kind == SPACE else 1 if wide and kind == IDEOGRAPH else length + 1
        if length > C4_LONGEST_WORD:
            return True
        start += width
    return False


@inner
def _sentences(buffer: Bytes, begin: int, end: int, marks: Marks) -> int:
    """Sentences of a line, as `scan` counts them."""
    sentences = 0
    material = pending = False
    position = begin
    while position < end:
        point, width = decode(buffer, position, end)
        position += width
        mark = marks[point] if point < marks.size else np.uint32(0)
        kind = mark & CLASS
        if kind == SPACE:
            if pending:
                sentences += 1
                material = pending = False
        elif kind != 0:
            material, pending = True, False
        elif mark & WIDE_END:
            sentences += material
            material = pending = False
        elif mark & END:
            pending = material
        elif not mark & CLOSER:
            pending = False
    return sentences + material


@inner
def _ends_in_ellipsis(buffer: Bytes, begin: int, end: int, dots_only: bool = False) -> bool:
    if end - begin < 3:
        return False
    one, two, three = buffer[end - 3], buffer[end - 2], buffer[end - 1]
    if one == 46 and two == 46 and three == 46:
        return True
    return not dots_only and one == 0xE2 and two == 0x80 and three == 0xA6


@inner
def _ends_as_in_c4(last: int) -> bool:
    return last == 46 or last == 63 or last == 33 or last == 34 or last == 39


@inner
def _ends_sentence(buffer: Bytes, begin: int, end: int, marks: Marks) -> bool:
    """Whether what stands before closing quotation marks and brackets ends a sentence in any script."""
    while end > begin:
        start = _last(buffer, begin, end)
        point, _ = decode(buffer, start, end)
        mark = marks[point] if point < marks.size else np.uint32(0)
        if mark & (END | WIDE_END | TERMINAL):
            return True
        if not mark & CLOSER:
            return False
        end = start
    return False


@inner
def _is_contents(buffer: Bytes, begin: int, end: int) -> bool:
    """第…章 and its kin at the beginning, or dot leaders before a page number at the end."""
    point, width = decode(buffer, begin, end)
    if point == 0x7B2C:
        position = begin + width
        for _ in range(7):
            if position >= end:
                break
            point, width = decode(buffer, position, end)
            if _among(point, _CHAPTER_UNITS):
                return position > begin + 3
            if not _among(point, _CHAPTER_NUMERALS):
                break
            position += width
    position = end
    while position > begin and 48 <= buffer[position - 1] <= 57:
        position -= 1
    if position == end:
        return False
    while position > begin and buffer[position - 1] == 32:
        position -= 1
    return position > begin and _ends_in_ellipsis(buffer, begin, position)


@inner
def _among(point: int | np.int64, points: NDArray[np.int64]) -> bool:
    found = False
    for i in range(points.size):
        found = found or points[i] == point
    return found
