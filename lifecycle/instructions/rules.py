"""The rules over the sidecar's figures: one comparison each, of one figure with one threshold of the recipe."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.instructions.scores import figure
from lifecycle.recipe.instruction_rules import InstructionRules


@dataclass(frozen=True)
class InstructionRule:
    """One reason to drop a conversation; a threshold `min_…` drops what is below it, `max_…` what is above."""

    name: str
    figure: str
    threshold: str
    description: str

    def limits(self, rules: InstructionRules, languages: NDArray[np.str_]) -> NDArray[np.float64]:
        """The threshold of every conversation by the language of its questions, shape (conversations,)."""
        chinese, others = (float(getattr(each, self.threshold)) for each in (rules.zh, rules.en))
        return np.where(languages == "zh", chinese, others)

    @property
    def drops_below(self) -> bool:
        """Whether small figures are dropped rather than large ones."""
        return self.threshold.startswith("min_")

    def broken(self, figures: NDArray[np.float64], limits: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Which conversations the rule drops."""
        return figures < limits if self.drops_below else figures > limits


RULES: tuple[InstructionRule, ...] = tuple(
    InstructionRule(*row)
    for row in (
        ("short_question", "shortest_question", "min_question_characters", "A question that asks nothing."),
        ("long_question", "longest_question", "max_question_characters", "A question with a document in it."),
        ("short_answer", "shortest_answer", "min_answer_characters", "An answer that says nothing."),
        ("long_answer", "longest_answer", "max_answer_characters", "An answer that does not end."),
        ("many_turns", "turns", "max_turns", "More turns than a conversation has."),
        ("broken_characters", "broken_characters", "max_broken_characters", "Characters lost in a wrong encoding."),
        ("placeholder", "placeholders", "max_placeholders", "Blanks of a template that nobody filled."),
        ("refusal", "refusal_share", "max_refusal_share", "Answers that refuse."),
        ("disclaimer", "disclaimer_share", "max_disclaimer_share", "Answers that speak of themselves as a program."),
        ("echo", "echo_share", "max_echo_share", "An answer that repeats its question."),
        ("cut_off", "cut_off", "max_cut_off", "The last answer was cut off."),
        ("answer_language", "language_mismatch", "max_language_mismatch", "Answers in another language than the questions."),
        ("duplicate_lines", "duplicate_line_share", "max_duplicate_line_share", "Repeated lines are much of the answers."),
        ("repeated_bigram", "top_bigram_share", "max_top_bigram_share", "One pair of words is much of the answers."),
        ("repetition", "repeated_10gram_share", "max_repeated_10gram_share", "Answers that go in loops."),
    )
)
"""In the order in which they are asked."""


def broken_rules(table: pa.Table, rules: InstructionRules) -> NDArray[np.object_]:
    """For each row of the sidecar the first rule that it breaks, or None, shape (conversations,).

    After `RULES` come the recipe's own lists, under `sensitive:<category>`.
    """
    languages = table["language"].to_numpy(zero_copy_only=False).astype(np.str_)
    first = np.full(len(languages), None, dtype=object)
    passing = np.ones(len(languages), dtype=np.bool_)
    for rule in RULES:
        broken = rule.broken(figure(table, rule.figure), rule.limits(rules, languages))
        first[broken & passing] = rule.name
        passing &= ~broken
    for place, category in enumerate(table["sensitive"].to_pylist()):
        if category is not None and passing[place]:
            first[place] = f"sensitive:{category}"
    return first
