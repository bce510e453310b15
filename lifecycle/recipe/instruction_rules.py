"""Thresholds of the rules that judge a conversation, per language, and the model's own identity."""

from pydantic import Field

from lifecycle.recipe.base import Section


class InstructionThresholds(Section):
    """`min_…` drops what is below, `max_…` what is above; figures are in `lifecycle.instructions.scores`.

    What the defaults drop of eighteen public sets is in docs/post-training.md.
    """

    min_question_characters: int = Field(default=2, ge=0)
    """Of the shortest question."""
    max_question_characters: int = Field(default=20_000, gt=0)
    """Of the longest question."""
    min_answer_characters: int = Field(default=1, ge=0)
    """Of the shortest answer: `1` may be the whole of one."""
    max_answer_characters: int = Field(default=20_000, gt=0)
    """Of the longest answer."""
    max_turns: int = Field(default=40, gt=0)
    """Questions with an answer."""
    max_refusal_share: float = Field(default=0.34, ge=0, le=1)
    """Answers that begin with a refusal, over answers; 1 keeps them."""
    max_disclaimer_share: float = Field(default=0.34, ge=0, le=1)
    """Answers that speak of themselves as an AI language model, over answers; 1 keeps them."""
    max_echo_share: float = Field(default=0.9, ge=0, le=1)
    """How much of an answer is its question from the beginning, at least 20 characters long."""
    max_cut_off: float = Field(default=0.5, ge=0, le=1)
    """How surely the last answer was cut off: 1 it ends in a mark that something must follow or in open code, 0.5 a long
    one ends without any mark."""
    max_language_mismatch: float = Field(default=0.5, ge=0, le=1)
    """1 where answers are in another language than the questions, none of which speaks of languages; at 1 not asked."""
    max_duplicate_line_share: float = Field(default=0.3, ge=0, le=1)
    """Characters in repeated lines over all characters of the answers (Rae et al. 2021)."""
    max_top_bigram_share: float = Field(default=0.3, ge=0, le=1)
    """Characters covered by the most frequent pair of words that is there four times or more (after Rae et al. 2021)."""
    max_repeated_10gram_share: float = Field(default=0.3, ge=0, le=1)
    """Characters in ten words in a row that were there before: loops."""
    max_broken_characters: int = Field(default=0, ge=0)
    """Replacement and control characters, and lone halves of characters, in all messages."""
    max_placeholders: int = Field(default=0, ge=0)
    """Blanks of a template that nobody filled: `{{name}}`, `<nooutput>`."""


class ChineseInstructionThresholds(InstructionThresholds):
    """A Han character says about as much as three Latin letters."""

    min_question_characters: int = Field(default=1, ge=0)
    max_question_characters: int = Field(default=10_000, gt=0)
    max_answer_characters: int = Field(default=10_000, gt=0)


class InstructionRules(Section):
    """By the language of the questions; a language that is not named has the thresholds of `en`."""

    en: InstructionThresholds = InstructionThresholds()
    zh: ChineseInstructionThresholds = ChineseInstructionThresholds()


class OwnIdentity(Section):
    """Who the model says that it is."""

    name: str = Field(min_length=1)
    maker: str = Field(min_length=1)
    """Who made it, as in "I was made by …"."""
    name_zh: str | None = None
    """In Chinese text; null takes `name`."""
    maker_zh: str | None = None
    rewrite: bool = True
    """Whether answers that claim to be another model get this identity; otherwise they are dropped."""

    def in_language(self, language: str) -> tuple[str, str]:
        """Name and maker as text in this language writes them."""
        chinese = language == "zh"
        return (chinese and self.name_zh) or self.name, (chinese and self.maker_zh) or self.maker
