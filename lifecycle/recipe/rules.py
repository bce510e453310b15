"""Thresholds of the quality and repetition rules, in sets named after their papers, per language.

`min_…` drops what is below, `max_…` what is above. Chinese has classes of its own because the papers' figures are for words
between blanks, and here each Han character is a word.
"""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.base import Section

RuleSet = Literal["light", "gopher_quality", "gopher_repetition", "c4_quality", "fineweb_quality", "chinese_quality"]


class GopherQuality(Section):
    """Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", section A.1.1."""

    min_words: int = Field(default=50, ge=0)
    max_words: int = Field(default=100_000, gt=0)
    min_mean_word_length: float = Field(default=3, ge=0)
    max_mean_word_length: float = Field(default=10, gt=0)
    max_hash_ratio: float = Field(default=0.1, ge=0)
    """Number signs over words."""
    max_ellipsis_ratio: float = Field(default=0.1, ge=0)
    """Ellipses over words."""
    max_bullet_line_share: float = Field(default=0.9, ge=0, le=1)
    max_ellipsis_line_share: float = Field(default=0.3, ge=0, le=1)
    min_alpha_word_share: float = Field(default=0.8, ge=0, le=1)
    min_stop_words: int = Field(default=2, ge=0, le=8)
    """How many of the eight English stop words must occur."""


class ChineseGopherQuality(GopherQuality):
    """The same where a word is a character, calibrated against jieba's words (docs/chinese-thresholds.md).

    A word of jieba's is 1.6 of ours, so lengths and ratios move by that. Means below 1 do not exist: that rule is off. The
    English stop words say nothing.
    """

    min_words: int = Field(default=80, ge=0)
    max_words: int = Field(default=160_000, gt=0)
    min_mean_word_length: float = Field(default=1, ge=0)
    max_mean_word_length: float = Field(default=6.4, gt=0)
    max_hash_ratio: float = Field(default=0.066, ge=0)
    max_ellipsis_ratio: float = Field(default=0.04, ge=0)
    min_alpha_word_share: float = Field(default=0.83, ge=0, le=1)
    min_stop_words: int = Field(default=0, ge=0, le=8)


class GopherRepetition(Section):
    """Rae et al. 2021, table A1. Shares of lines and paragraphs, then of characters, of all characters."""

    max_repeated_paragraph_share: float = Field(default=0.3, ge=0, le=1)
    max_repeated_paragraph_character_share: float = Field(default=0.2, ge=0, le=1)
    max_repeated_line_share: float = Field(default=0.3, ge=0, le=1)
    max_repeated_line_character_share: float = Field(default=0.2, ge=0, le=1)
    max_top_2gram_share: float = Field(default=0.2, ge=0)
    max_top_3gram_share: float = Field(default=0.18, ge=0)
    max_top_4gram_share: float = Field(default=0.16, ge=0)
    max_repeated_5gram_share: float = Field(default=0.15, ge=0)
    max_repeated_6gram_share: float = Field(default=0.14, ge=0)
    max_repeated_7gram_share: float = Field(default=0.13, ge=0)
    max_repeated_8gram_share: float = Field(default=0.12, ge=0)
    max_repeated_9gram_share: float = Field(default=0.11, ge=0)
    max_repeated_10gram_share: float = Field(default=0.1, ge=0)


class ChineseGopherRepetition(GopherRepetition):
    """Ten characters are a clause where ten words are a sentence, so clauses may come again more often.

    Calibrated (docs/chinese-thresholds.md): from four characters on, the paper's severity would lose up to 40 % of sound
    prose (laws above all), so these are the strictest thresholds that lose less than 1 % each.
    """

    max_top_2gram_share: float = Field(default=0.21, ge=0)
    max_top_3gram_share: float = Field(default=0.19, ge=0)
    max_top_4gram_share: float = Field(default=0.18, ge=0)
    max_repeated_5gram_share: float = Field(default=0.44, ge=0)
    max_repeated_6gram_share: float = Field(default=0.41, ge=0)
    max_repeated_7gram_share: float = Field(default=0.38, ge=0)
    max_repeated_8gram_share: float = Field(default=0.35, ge=0)
    max_repeated_9gram_share: float = Field(default=0.32, ge=0)
    max_repeated_10gram_share: float = Field(default=0.3, ge=0)


class C4Quality(Section):
    """Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.2, and its published code."""

    min_sentences: int = Field(default=5, ge=0)
    """Sentences in the lines that C4 keeps."""
    max_curly_lines: int = Field(default=0, ge=0)
    """Lines with a curly bracket, among those that C4 keeps: more than this is code."""
    max_lorem_ipsum_lines: int = Field(default=0, ge=0)


class ChineseC4Quality(C4Quality):
    """Parallel text has 1.04 Chinese sentences to an English one, so five it is (docs/chinese-thresholds.md)."""

    min_sentences: int = Field(default=5, ge=0)


class FineWebQuality(Section):
    """Penedo et al. 2024, "The FineWeb Datasets", section 3.6 (the filters added to C4's and Gopher's)."""

    min_terminal_line_share: float = Field(default=0.12, ge=0, le=1)
    """Lines that end in a mark that ends sentences, over lines that are not empty."""
    max_short_line_share: float = Field(default=0.67, ge=0, le=1)
    """Lines of at most 30 characters (10 in Chinese), over lines that are not empty."""
    max_repeated_text_character_share: float = Field(default=0.01, ge=0, le=1)
    """Characters in repeated lines, over characters that are not newlines."""
    max_newline_ratio: float = Field(default=0.3, ge=0)
    """Newlines over words."""


class ChineseFineWebQuality(FineWebQuality):
    """One Han character says about as much as three Latin letters: there are more words to a line.

    The ratio is calibrated against jieba's words (docs/chinese-thresholds.md).
    """

    max_newline_ratio: float = Field(default=0.23, ge=0)


class ChineseQuality(Section):
    """Text that a reader of Chinese would call running text; asked of Chinese documents only.

    Thresholds follow the cleaning scripts that this project succeeds where these lose under 1 % of sound prose and 5 % of
    technical documents, else the nearest that do, with one exception that is marked (docs/chinese-thresholds.md).
    """

    min_han_share: float = Field(default=0.15, ge=0, le=1)
    """Han characters over letters and digits: below it the page is in another script. At 0.6 85 % of manuals went."""
    min_common_share: float = Field(default=0.2, ge=0, le=1)
    """The 500 commonest characters over Han characters: running text has 0.5 to 0.8, mojibake and name lists less."""
    min_sentences: int = Field(default=1, ge=0)
    """Without any mark that ends a sentence, it is a list of titles."""
    min_sentence_line_share: float = Field(default=0.1, ge=0, le=1)
    """Lines that end a sentence (closing quotation marks after it allowed), over lines.

    It loses a fifth of manuals and every one-line text without a mark at its end; no value that catches menus loses less.
    """
    min_mean_sentence_length: float = Field(default=6.5, ge=0)
    """Characters that are not white space, over sentences."""
    max_mean_sentence_length: float = Field(default=190, gt=0)
    max_contents_lines: int = Field(default=10, ge=0)
    """Chapter headings and dotted page references: more is a table of contents …"""
    max_contents_line_share: float = Field(default=0.25, ge=0, le=1)
    """… and so is a page that has mostly these."""
    min_mean_segment_length: float = Field(default=5.4, ge=0)
    """Characters between blanks, tabs and bars; few table pages are below. At 10 all are, and so were 46 % of manuals."""
    max_script_switch_rate: float = Field(default=0.15, ge=0)
    """Changes between Han and alphabetic letters, over letters."""


class GopherQualityRules(Section):
    """Gopher's document rules; a language that is not named has the thresholds of `en`."""

    en: GopherQuality = GopherQuality()
    zh: ChineseGopherQuality = ChineseGopherQuality()


class GopherRepetitionRules(Section):
    """Gopher's repetition rules; a language that is not named has the thresholds of `en`."""

    en: GopherRepetition = GopherRepetition()
    zh: ChineseGopherRepetition = ChineseGopherRepetition()


class C4QualityRules(Section):
    """C4's rules; a language that is not named has the thresholds of `en`."""

    en: C4Quality = C4Quality()
    zh: ChineseC4Quality = ChineseC4Quality()
    rewrite_lines: bool = False
    """Keep only the lines that C4 keeps, once the document has passed every rule."""


class FineWebQualityRules(Section):
    """FineWeb's rules; a language that is not named has the thresholds of `en`."""

    en: FineWebQuality = FineWebQuality()
    zh: ChineseFineWebQuality = ChineseFineWebQuality()


class ChineseQualityRules(Section):
    """Rules for Chinese documents; others pass."""

    zh: ChineseQuality = ChineseQuality()
