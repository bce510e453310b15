"""Quality and repetition rules: one comparison each, of one measure with one threshold of the recipe.

A rule is data: its name, the threshold that decides, what it is for, its set, and the measure it reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.measures import MEASURES, Counts, Figures
from lifecycle.curation.rule import Rule
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.rules import RuleSet

KEPT = "kept"
"""The decision on a document that broke no rule."""
SHORT_LINE_MEASURES = {"zh": "short_line_share_10"}


@dataclass(frozen=True)
class SetRule(Rule):
    """A rule of one of the sets, whose thresholds the recipe has for each language."""

    set: RuleSet
    measure: str

    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The measure of every document, shape (documents,)."""
        found = MEASURES[self.measure](counts)
        if self.measure == "short_line_share_30":
            for language, measure in SHORT_LINE_MEASURES.items():
                found = np.where(languages == language, MEASURES[measure](counts), found)
        return found

    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The threshold for every document by its language, NaN where the rule does not ask, shape (documents,)."""
        section = getattr(config, self.set)
        english = getattr(section, "en", None)
        result = np.full(len(languages), np.nan if english is None else float(getattr(english, self.threshold)))
        result[languages == "zh"] = float(getattr(section.zh, self.threshold))
        return result


def _rules(set: RuleSet, *rows: tuple[str, str, str, str]) -> tuple[SetRule, ...]:
    return tuple(SetRule(name, threshold, text, set, measure) for name, measure, threshold, text in rows)


_LIGHT = _rules(
    "light",
    (
        "too_short",
        "characters",
        "min_characters",
        "Too few characters (of any script: 50 Han characters are two sentences).",
    ),
    ("too_long", "characters", "max_characters", "Dumps, concatenations, machine output."),
    ("symbols", "symbol_share", "max_symbol_share", "Mostly signs: tables drawn with characters, binary read as text."),
    ("digits", "digit_share", "max_digit_share", "Mostly numbers: listings, logs, revision stamps."),
    ("few_letters", "letter_share", "min_letter_share", "Hardly any letters of any script (after Rae et al. 2021)."),
    (
        "duplicate_lines",
        "duplicate_line_share",
        "max_duplicate_line_share",
        "Repeated lines are much of the text (Rae et al. 2021, table A1: duplicate line character fraction).",
    ),
    (
        "repeated_bigram",
        "covered_bigram_share",
        "max_top_ngram_share",
        "One pair of words, there four times or more, is much of the text (after Rae et al. 2021, table A1).",
    ),
)
_GOPHER = _rules(
    "gopher_quality",
    ("gopher_few_words", "words", "min_words", "Fewer words than an article has."),
    ("gopher_many_words", "words", "max_words", "More words than a document has: a dump."),
    ("gopher_short_words", "mean_word_length", "min_mean_word_length", "Words too short on average: lists of codes."),
    ("gopher_long_words", "mean_word_length", "max_mean_word_length", "Words too long on average: identifiers."),
    ("gopher_hashes", "hash_ratio", "max_hash_ratio", "Number signs: hashtag clouds."),
    ("gopher_ellipses", "ellipsis_ratio", "max_ellipsis_ratio", "Ellipses: teasers of other pages."),
    ("gopher_bullets", "bullet_line_share", "max_bullet_line_share", "Nearly every line is an item of a list."),
    ("gopher_ellipsis_lines", "ellipsis_line_share", "max_ellipsis_line_share", "Lines cut off: teasers."),
    ("gopher_alpha_words", "alpha_word_share", "min_alpha_word_share", "Too many words without a letter."),
    ("gopher_stop_words", "stop_words", "min_stop_words", "Hardly any of the, be, to, of, and, that, have, with."),
)
_REPETITION = _rules(
    "gopher_repetition",
    *(
        (f"gopher_{each}", f"{each}_share", f"max_{each}_share", f"Too much of the text: {text} (table A1).")
        for each, text in (
            ("repeated_paragraph", "paragraphs that were there before"),
            ("repeated_paragraph_character", "characters of such paragraphs"),
            ("repeated_line", "lines that were there before"),
            ("repeated_line_character", "characters of such lines"),
            *((f"top_{n}gram", f"the most frequent {n} words in a row") for n in (2, 3, 4)),
            *((f"repeated_{n}gram", f"{n} words in a row that were there before") for n in range(5, 11)),
        )
    ),
)
_C4 = _rules(
    "c4_quality",
    ("c4_lorem_ipsum", "lorem_ipsum_lines", "max_lorem_ipsum_lines", "Filler text of a template."),
    ("c4_curly_bracket", "curly_lines", "max_curly_lines", "Program code."),
    ("c4_sentences", "c4_sentences", "min_sentences", "Too few sentences in the lines that C4 keeps."),
)
_FINEWEB = _rules(
    "fineweb_quality",
    ("fineweb_line_ends", "terminal_line_share", "min_terminal_line_share", "Hardly a line ends a sentence: menus."),
    ("fineweb_short_lines", "short_line_share_30", "max_short_line_share", "Mostly short lines: menus, lists."),
    (
        "fineweb_repeated_lines",
        "repeated_text_character_share",
        "max_repeated_text_character_share",
        "Characters in lines that were there before.",
    ),
    ("fineweb_newlines", "newline_ratio", "max_newline_ratio", "Few words to a line: a list."),
)
_CHINESE = _rules(
    "chinese_quality",
    ("chinese_han", "han_share", "min_han_share", "Mostly not Han characters."),
    ("chinese_common", "common_share", "min_common_share", "Hardly any common characters: mojibake, lists of names."),
    ("chinese_sentences", "sentences", "min_sentences", "No sentence at all."),
    ("chinese_line_ends", "sentence_line_share", "min_sentence_line_share", "Hardly a line ends a sentence."),
    ("chinese_short_sentences", "mean_sentence_length", "min_mean_sentence_length", "Shreds instead of sentences."),
    ("chinese_long_sentences", "mean_sentence_length", "max_mean_sentence_length", "No punctuation in long text."),
    ("chinese_contents", "contents_lines", "max_contents_lines", "A table of contents or a chapter list."),
    ("chinese_contents_share", "contents_line_share", "max_contents_line_share", "Mostly chapter headings."),
    ("chinese_table", "mean_segment_length", "min_mean_segment_length", "A table: cells instead of sentences."),
    ("chinese_switches", "script_switch_rate", "max_script_switch_rate", "Han and Latin letters by turns: spam, listings."),
)
RULES: tuple[SetRule, ...] = (*_LIGHT, *_GOPHER, *_REPETITION, *_C4, *_FINEWEB, *_CHINESE)
"""All of them, in the order in which they are asked within their sets."""


def rules_of(config: CurationConfig) -> tuple[SetRule, ...]:
    """The rules that a configuration switches on, set by set in the order of the recipe."""
    return tuple(rule for name in config.quality_sets for rule in RULES if rule.set == name)


def decisions(counts: Counts, languages: Sequence[str] | NDArray[np.str_], config: CurationConfig) -> NDArray[np.str_]:
    """For each document the name of the first rule that it breaks, or `KEPT`, shape (documents,)."""
    languages = np.asarray(languages, dtype=np.str_)
    rules = rules_of(config)
    first = np.zeros(len(languages), dtype=np.intp)
    for place in range(len(rules), 0, -1):  # the first one comes last, and stands
        rule = rules[place - 1]
        first[rule.broken(rule.figures(counts, languages), rule.limits(config, counts, languages))] = place
    return np.array([KEPT, *(rule.name for rule in rules)], dtype="U64")[first]
