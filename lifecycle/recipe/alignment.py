"""The recipe's instructions and preferences."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section
from lifecycle.recipe.curation import Blocklist
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.instruction_rules import InstructionRules, OwnIdentity
from lifecycle.recipe.instruction_scores import InstructionScores
from lifecycle.recipe.preference_files import PreferenceFiles
from lifecycle.recipe.selection import COUNTED, Embeddings, Selection


class TaskShares(Section):
    """Share of each task in the conversations made from documentation; a share of 0 leaves the task out."""

    kind: float = Field(default=0.38, ge=0)
    """Class, function or module? In equal parts."""
    first_word: float = Field(default=0.16, ge=0)
    summary: float = Field(default=0.12, ge=0)
    parameter: float = Field(default=0.12, ge=0)
    returns: float = Field(default=0.06, ge=0)
    raises: float = Field(default=0.03, ge=0)
    deprecated: float = Field(default=0.07, ge=0)
    """Yes or no, in equal parts."""
    multi_turn: float = Field(default=0.06, ge=0)
    """Two questions about one text."""

    @model_validator(mode="after")
    def _are_shares(self) -> "TaskShares":
        total = sum(self.model_dump().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the tasks add up to {total:g}, not to 1")
        return self


class DocumentedObjects(Section):
    """Conversations made from the documentation strings in `corpus` (summary, kind, parameters, returns, raises, …)."""

    kind: Literal["documented_objects"]
    sources: tuple[str, ...] = Field(min_length=1)
    """Names of `python_docs` sources."""
    max_conversations: int = Field(default=12_000, gt=0)
    shares: TaskShares = TaskShares()
    seed: int = 3


class OwnIdentityConversations(Section):
    """Questions about the model itself, answered with the recipe's own name and maker (`instructions.identity`)."""

    kind: Literal["own_identity"]
    languages: tuple[Literal["en", "zh"], ...] = Field(default=("en", "zh"), min_length=1)
    max_conversations: int = Field(default=200, gt=0)
    seed: int = 7


InstructionSource = Annotated[DocumentedObjects | InstructionFiles | OwnIdentityConversations, Field(discriminator="kind")]


class InstructionsConfig(Section):
    """Instruction data and its cleaning."""

    sources: tuple[InstructionSource, ...] = Field(min_length=1)
    identity: OwnIdentity | None = None
    """Who the model is; without it conversations in which the answer claims to be another model are dropped."""
    rules: InstructionRules = InstructionRules()
    sensitive: tuple[Blocklist, ...] = ()
    """Lists of phrases; a conversation with too many of one is dropped under `sensitive:<category>`."""
    max_tokens: int = Field(default=256, gt=0)
    """Longest conversation, rendered; longer ones are dropped and counted."""
    scores: InstructionScores | None = None
    """Where it is given, the stage `instruction_scores` measures what cleaning kept."""
    embeddings: Embeddings | None = None
    """Where it is given, the stage `instruction_embeddings` places what cleaning kept in a space, and draws the data map."""
    selection: Selection | None = None
    """Where it is given, the stage `selected_instructions` chooses what is trained on; needs `embeddings`."""

    @model_validator(mode="after")
    def _selects_by_what_is_there(self) -> "InstructionsConfig":
        if self.selection and self.embeddings is None:
            raise ValueError(
                "selection compares conversations by `embeddings`; say for example `embeddings: {kind: lexical}`"
            )
        if self.selection:
            column = self.selection.by.column
            asked = f"scores.{column}" if column in ("judge", "linear") else "scores"
            there = self.scores is not None and (asked == "scores" or getattr(self.scores, column) is not None)
            if column not in COUNTED and not there:
                raise ValueError(
                    f"selection.by.column: {column} is measured where the recipe has `instructions.{asked}`; add it, or "
                    f"select by {', '.join(COUNTED)}"
                )
        return self

    @model_validator(mode="after")
    def _knows_itself(self) -> "InstructionsConfig":
        if self.identity is None and any(source.kind == "own_identity" for source in self.sources):
            raise ValueError("a source of kind own_identity needs `identity: {name: …, maker: …}` beside the sources")
        return self


class SiblingAnswers(Section):
    """Pairs from documentation: chosen is the object's own summary, rejected that of a sibling in the same module."""

    kind: Literal["sibling_answers"]
    sources: tuple[str, ...] = Field(min_length=1)
    max_pairs: int = Field(default=400, gt=0)
    seed: int = 5
    weight: float | None = Field(default=None, gt=0)
    """Share of the pairs, in proportion to those of the other sources and `preferences.pairing.sampled_weight`."""


PreferenceSource = Annotated[SiblingAnswers | PreferenceFiles, Field(discriminator="kind")]


FEW_PAIRS = 100
"""Below it the held-out pairs (15 % by default) give a reward accuracy that is uncertain by more than 20 points."""


def few_pairs(pairs: int) -> str:
    """What to say of a preference training on so few pairs."""
    return (
        f"only {pairs} preference pairs to train on, fewer than {FEW_PAIRS}: expect no measurable effect; raise "
        "preferences.prompts or preferences.candidates, lower preferences.min_margin, or add pairs of your own "
        "(preferences.sources)"
    )
