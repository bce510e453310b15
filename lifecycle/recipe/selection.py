"""Which of the cleaned conversations are trained on: what they are compared by, and how many of which kind are taken."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.base import Section

ENCODER = "encoder"
"""Name of the snapshot of a given encoder."""
COUNTED = ("question_characters", "answer_characters", "turns")
"""Scores that need no model: characters of all questions, of all answers, and questions with an answer."""
ScoreColumn = Literal[
    "question_characters",
    "answer_characters",
    "turns",
    "question_tokens",
    "answer_tokens",
    "loss_answer",
    "loss_answer_alone",
    "difficulty",
    "perplexity",
    "judge",
    "linear",
]


class DataMap(Section):
    """The two-dimensional map of the conversations: t-SNE (van der Maaten and Hinton 2008) by openTSNE."""

    max_points: int = Field(default=30_000, ge=10)
    """Conversations on the map; of more, those with the smallest hashes of their ids."""
    perplexity: float = Field(default=30, gt=1)
    """How many neighbours each conversation is kept near to."""


class EmbeddingsBase(Section):
    """Shared by all kinds."""

    map: DataMap = DataMap()
    seed: int = 17

    def read(self) -> dict[str, StartingModel]:
        """What the stage reads itself, by the names of its snapshots."""
        return {}


class CheckpointEmbeddings(EmbeddingsBase):
    """The last hidden states of the recipe's own base model, averaged over a conversation's tokens."""

    kind: Literal["checkpoint"]
    max_tokens: int = Field(default=256, gt=0)
    """Tokens read of the beginning of a conversation."""


class EncoderEmbeddings(EmbeddingsBase):
    """A given encoder: a sentence-transformer, or any Hugging Face folder with safetensors and a tokenizer."""

    kind: Literal["encoder"]
    model: StartingModel
    """Where it is; pooled as its own `1_Pooling/config.json` says, by the mean where it has none."""
    max_tokens: int = Field(default=256, gt=0)
    """Tokens read of the beginning of a conversation."""

    def read(self) -> dict[str, StartingModel]:
        """What the stage reads itself, by the names of its snapshots."""
        return {ENCODER: self.model}


class LexicalEmbeddings(EmbeddingsBase):
    """Words and pairs of neighbouring words, TF-IDF, projected (latent semantic analysis, Deerwester et al. 1990).

    Each Han character is a word, so that Chinese has pairs of characters. It tells wording, not meaning, and is called
    lexical wherever it is shown.
    """

    kind: Literal["lexical"]
    dimensions: int = Field(default=128, ge=2)


Embeddings = Annotated[CheckpointEmbeddings | EncoderEmbeddings | LexicalEmbeddings, Field(discriminator="kind")]


class ByScore(Section):
    """The score that decides which conversations are taken first."""

    column: ScoreColumn
    """A column of `instruction_scores`; characters and turns are counted without it."""
    order: Literal["highest", "lowest"] = "highest"
    """Which end is taken first; conversations without a score come last."""
    min: float | None = None
    """Conversations that score less are dropped (`score_out_of_band`)."""
    max: float | None = None
    """Conversations that score more are dropped. Of difficulty, 1 is where a question stops helping (Li et al. 2023)."""


class SemanticDuplicates(Section):
    """Conversations of one cluster that say nearly the same (SemDeDup, Abbas et al. 2023): the best of them stays."""

    min_similarity: float = Field(default=0.98, gt=0, le=1)
    """Cosine of two embeddings from which they are duplicates. What it means depends on the embeddings: the samples on both
    sides of it, on the page of `selected_instructions`, tell."""


class Quotas(Section):
    """How many of which kind: language first, tasks within a language, clusters within these.

    Where one kind has too few conversations, what it leaves goes to the others in proportion.
    """

    languages: dict[str, float] = Field(default_factory=dict)
    """Target share by language, as in {zh: 0.5, en: 0.5}; languages not named share what is left as they are."""
    tasks: dict[str, float] = Field(default_factory=dict)
    """Target share by task within each language; tasks not named share what is left as they are."""
    cluster_exponent: float | None = Field(default=0.5, ge=0, le=1)
    """Clusters get quotas in proportion to their sizes to this power: 1 as the set is, 0 all the same; null gives none."""

    @model_validator(mode="after")
    def _are_shares(self) -> "Quotas":
        for name, shares in (("languages", self.languages), ("tasks", self.tasks)):
            wrong = {key: share for key, share in shares.items() if not 0 <= share <= 1}
            if wrong or sum(shares.values()) > 1 + 1e-6:
                raise ValueError(f"{name}: shares lie between 0 and 1 and add up to at most 1, got {shares}")
        return self


class Selection(Section):
    """The conversations that are trained on, of those that cleaning kept."""

    keep: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] = 0.3
    """A share of what was read (as in 0.3; 1.0 keeps all) or a number of conversations."""
    by: ByScore
    random: bool = False
    """The control: draw by a hash of the ids instead of taking the best scores; all else stays as it is."""
    clusters: int | None = Field(default=None, ge=1)
    """Clusters of k-means; null takes the square root of the number of conversations."""
    duplicates: SemanticDuplicates | None = SemanticDuplicates()
    """Null keeps conversations however alike they are."""
    quotas: Quotas = Quotas()
    seed: int = 29
