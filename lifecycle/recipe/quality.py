"""The recipe's optional quality model: which text is good, which is not, and what is learnt from it."""

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section
from lifecycle.recipe.corpora import Source, SourceBase

if TYPE_CHECKING:
    from lifecycle.recipe.recipe import Recipe

MinScore = dict[str, float]


class LinearModelConfig(Section):
    """How a linear model over hashed character n-grams is learnt, one for each language that has samples of both kinds."""

    keep_positive: float = Field(default=0.95, gt=0, lt=1)
    """Share of held-out good documents that score above the calibrated threshold of their language."""
    max_characters: int = Field(default=20_000, gt=0)
    """How much of a document's beginning is read, in training and in scoring: what scoring one may cost."""
    min_ngram: int = Field(default=2, gt=0)
    max_ngram: int = Field(default=4, gt=0, le=8)
    """Characters in a row; two to four serve Han text and words alike."""
    bucket_bits: int = Field(default=18, ge=8, le=24)
    """The model has 2^bits weights of four bytes a language; n-grams that meet in one share it."""
    heldout: float = Field(default=0.2, gt=0, lt=1)
    """Share of the samples that are kept for measuring and for the threshold, whole groups (a file) together."""
    seed: int = 11

    @model_validator(mode="after")
    def _ngrams_rise(self) -> "LinearModelConfig":
        if self.min_ngram > self.max_ngram:
            raise ValueError(f"min_ngram {self.min_ngram} exceeds max_ngram {self.max_ngram}")
        return self


class QualityModelConfig(LinearModelConfig):
    """The linear model that cleaning of the corpus asks."""

    positive: tuple[str | Source, ...] = Field(min_length=1)
    """Good text: names of this recipe's sources, or sources described here, which are read for this only."""
    negative: tuple[str | Source, ...] = Field(min_length=1)
    """Text that the model shall tell from it."""
    min_score: MinScore = Field(default_factory=dict)
    """Thresholds by language in place of the calibrated ones, 0 to 1; they change cleaning, not the model."""
    max_documents: int = Field(default=5000, gt=0)
    """Documents of one sample at most, the first that its reader gives."""

    @model_validator(mode="after")
    def _consistent(self) -> "QualityModelConfig":
        names = [each if isinstance(each, str) else each.name for each in (*self.positive, *self.negative)]
        if len(set(names)) != len(names):
            raise ValueError(f"positive, negative: every sample is named once, got {names}")
        wrong = {language: score for language, score in self.min_score.items() if not 0 <= score <= 1}
        if wrong:
            raise ValueError(f"min_score: scores lie between 0 and 1, got {wrong}")
        return self


def samples(recipe: "Recipe", config: QualityModelConfig) -> dict[str, tuple[SourceBase, bool]]:
    """By name: where to read labelled documents, and whether they are good ones; raises RecipeError for unknown names."""
    labelled = [(each, True) for each in config.positive] + [(each, False) for each in config.negative]
    found = [(recipe.source(each) if isinstance(each, str) else each, good) for each, good in labelled]
    return {source.name: (source, good) for source, good in found}
