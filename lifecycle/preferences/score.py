"""The reference score: how well an answer matches a known good one, stated as a formula, with no model involved."""

import re
from collections import Counter

_WORD = re.compile(r"[㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f]|[^\W㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f]+")

REPETITION_ORDER = 3
UNFINISHED_FACTOR = 0.8


def words(text: str) -> list[str]:
    """Lower-case words; in Han text each character is a word; punctuation and white space are left out."""
    return _WORD.findall(text.lower())


def reference_score(answer: str, reference: str, *, finished: bool = True) -> float:
    """How well `answer` matches `reference`, in [0, 1]; 1 for the reference itself.

        score = 1/2 (F1 + RougeL) * (1 - excess) * (1 if finished else 0.8)

    F1 is the harmonic mean of precision and recall over the multiset of words (as in SQuAD, Rajpurkar et al. 2016);
    RougeL is that of the longest common subsequence of words (Lin 2004, beta = 1). `excess` is the share of the
    answer's word 3-grams that repeat an earlier one, less the same share in the reference, at least 0: it takes away
    from answers that run in loops. `finished` is False for an answer that was cut at the token limit. An answer
    without any word scores 0 unless the reference has none either.
    """
    given, wanted = words(answer), words(reference)
    if not given or not wanted:
        return float(answer.strip() == reference.strip())
    common = (Counter(given) & Counter(wanted)).total()
    overlap = (_f1(common, given, wanted) + _f1(_longest_common_subsequence(given, wanted), given, wanted)) / 2
    excess = max(0.0, repetition(given) - repetition(wanted))
    return overlap * (1 - excess) * (1.0 if finished else UNFINISHED_FACTOR)


def repetition(tokens: list[str], order: int = REPETITION_ORDER) -> float:
    """Share of n-grams that occurred before in the same list, in [0, 1)."""
    ngrams = [tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def similarity(left: str, right: str) -> float:
    """Symmetric word F1 of two texts, in [0, 1]; 1 for equal multisets of words."""
    first, second = words(left), words(right)
    if not first or not second:
        return float(left.strip() == right.strip())
    return _f1((Counter(first) & Counter(second)).total(), first, second)


def _f1(common: int, left: list[str], right: list[str]) -> float:
    return 2 * common / (len(left) + len(right))


def _longest_common_subsequence(left: list[str], right: list[str]) -> int:
    """Length by the bit-parallel method of Hyyro (2004): one big-integer step per word of `right`."""
    positions: dict[str, int] = {}
    for index, word in enumerate(left):
        positions[word] = positions.get(word, 0) | 1 << index
    every = (1 << len(left)) - 1
    row = every
    for word in right:
        matched = row & positions.get(word, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(left) - row.bit_count()
