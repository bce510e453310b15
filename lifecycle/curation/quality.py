"""Quality rules: one comparison each, of one statistic with one limit of the recipe."""

from collections.abc import Callable

from lifecycle.curation.statistics import Statistics
from lifecycle.recipe.corpora import QualityThresholds

Rule = Callable[[Statistics, QualityThresholds], bool]


def too_short(found: Statistics, limits: QualityThresholds) -> bool:
    """Fewer characters than `min_characters` (of any script: 50 Han characters are two sentences)."""
    return found.characters < limits.min_characters


def too_long(found: Statistics, limits: QualityThresholds) -> bool:
    """More characters than `max_characters`: dumps, concatenations, machine output."""
    return found.characters > limits.max_characters


def symbols(found: Statistics, limits: QualityThresholds) -> bool:
    """Mostly signs: tables drawn with characters, ASCII art, binary read as text."""
    return found.symbol_share > limits.max_symbol_share


def digits(found: Statistics, limits: QualityThresholds) -> bool:
    """Mostly numbers: listings, logs, revision stamps."""
    return found.digit_share > limits.max_digit_share


def few_letters(found: Statistics, limits: QualityThresholds) -> bool:
    """Hardly any letters of any script (Gopher, Rae et al. 2021, asks for words with a letter in them)."""
    return found.letter_share < limits.min_letter_share


def duplicate_lines(found: Statistics, limits: QualityThresholds) -> bool:
    """Repeated lines make up much of the text (Gopher, Rae et al. 2021, table A1: duplicate line character fraction)."""
    return found.duplicate_line_share > limits.max_duplicate_line_share


def repeated_bigram(found: Statistics, limits: QualityThresholds) -> bool:
    """One pair of words makes up much of the text (Gopher, Rae et al. 2021, table A1: top 2-gram character fraction)."""
    return found.top_bigram_share > limits.max_top_ngram_share


RULES: tuple[Rule, ...] = (too_short, too_long, symbols, digits, few_letters, duplicate_lines, repeated_bigram)
"""In the order in which they are asked; a document is counted under the first that it breaks, by the rule's name."""


def broken_rule(found: Statistics, limits: QualityThresholds) -> str | None:
    """The name of the first rule that the document breaks, or None."""
    return next((rule.__name__ for rule in RULES if rule(found, limits)), None)
