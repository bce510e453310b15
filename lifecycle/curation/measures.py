"""What the rules compare with their thresholds: figures derived from the columns of the sidecar, each a vector."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Counts = Mapping[str, NDArray[np.int64]]
Figures = NDArray[np.float64]
Measure = Callable[[Counts], Figures]


def _count(name: str) -> Measure:
    return lambda counts: counts[name].astype(np.float64)


def _over(name: str, *of: str, less: str | None = None) -> Measure:
    """One column over the sum of others (less one of them); where there is nothing to divide by, over one."""

    def measure(counts: Counts) -> Figures:
        whole = sum(counts[each] for each in of) - (counts[less] if less else 0)
        return counts[name] / np.maximum(whole, 1)

    return measure


def _visible_over(name: str) -> Measure:
    return lambda counts: (counts["characters"] - counts["spaces"]) / np.maximum(counts[name], 1)


MEASURES: dict[str, Measure] = {
    "characters": _count("characters"),
    "words": _count("words"),
    "stop_words": _count("stop_words"),
    "sentences": _count("sentences"),
    "c4_sentences": _count("c4_sentences"),
    "curly_lines": _count("curly_lines"),
    "lorem_ipsum_lines": _count("lorem_ipsum_lines"),
    "contents_lines": _count("contents_lines"),
    "symbol_share": _over("symbols", "characters"),
    "digit_share": _over("digits", "characters", less="spaces"),
    "letter_share": _over("letters", "characters", less="spaces"),
    "duplicate_line_share": _over("repeated_stripped_characters", "characters"),
    "covered_bigram_share": _over("covered_bigram", "characters"),
    "mean_word_length": _over("word_characters", "words"),
    "hash_ratio": _over("hashes", "words"),
    "ellipsis_ratio": _over("ellipses", "words"),
    "bullet_line_share": _over("bullet_lines", "lines"),
    "ellipsis_line_share": _over("ellipsis_lines", "lines"),
    "alpha_word_share": _over("alpha_words", "words"),
    "repeated_paragraph_share": _over("repeated_paragraphs", "paragraphs"),
    "repeated_paragraph_character_share": _over("repeated_paragraph_characters", "characters"),
    "repeated_line_share": _over("repeated_lines", "line_runs"),
    "repeated_line_character_share": _over("repeated_line_characters", "characters"),
    "terminal_line_share": _over("terminal_lines", "text_lines"),
    "short_line_share_10": _over("short_lines_10", "text_lines"),
    "short_line_share_30": _over("short_lines_30", "text_lines"),
    "repeated_text_character_share": _over("repeated_text_characters", "characters", less="newlines"),
    "newline_ratio": _over("newlines", "words"),
    "han_share": _over("han", "letters", "digits"),
    "common_share": _over("common_han", "han"),
    "sentence_line_share": _over("sentence_lines", "text_lines"),
    "mean_sentence_length": _visible_over("sentences"),
    "mean_segment_length": _visible_over("segments"),
    "contents_line_share": _over("contents_lines", "text_lines"),
    "script_switch_rate": _over("script_switches", "letters"),
    **{f"top_{n}gram_share": _over(f"top_{n}gram", "characters") for n in (2, 3, 4)},
    **{f"repeated_{n}gram_share": _over(f"repeated_{n}gram", "characters") for n in range(5, 11)},
}
"""By name. Shares are of the column named in `_over`; lengths are in characters."""


def mixed_share(counts: Counts) -> Figures:
    """Share of foreign letters by `language.mixed_language`; NaN, which no rule drops, where nothing was measured."""
    whole = counts["asked_letters"]
    return np.divide(counts["foreign_letters"], whole, out=np.full(len(whole), np.nan), where=whole > 0)
