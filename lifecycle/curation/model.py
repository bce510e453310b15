"""The quality model as cleaning uses it: a score between 0 and 1 for each document, and the limit of its language."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lifecycle.curation.model_features import Buckets, Features
from lifecycle.digests import digest_file, digest_json
from lifecycle.errors import DataError
from lifecycle.recipe.base import Section

NAME = "model.json"
SCORE_DIGITS = 6


class LanguageModel(Section):
    """What is stored of one language beside its weights."""

    bias: float
    min_score: float
    """Calibrated on held-out samples."""


class ModelCard(Section):
    """`model.json`; the weights of a language are `weights-<language>.npy`, float32, shape (2^bucket_bits,)."""

    features: Features
    languages: dict[str, LanguageModel]


@dataclass(frozen=True)
class QualityModel:
    """A trained model in memory."""

    card: ModelCard
    weights: Mapping[str, NDArray[np.float32]]

    def score(self, text: str, language: str) -> float:
        """How much like the good samples a document is, 0 to 1; NaN in a language that the model was not trained for."""
        if language not in self.weights:
            return float("nan")
        return self.probability(self.card.features.buckets(text), language)

    def probability(self, buckets: Buckets, language: str) -> float:
        """The same of a document's features."""
        mean = float(self.weights[language][buckets].mean(dtype=np.float64)) if buckets.size else 0.0
        return round(float(1 / (1 + np.exp(-np.clip(mean + self.card.languages[language].bias, -50, 50)))), SCORE_DIGITS)

    def scores(self, texts: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """`score` of some documents, shape (documents,)."""
        return np.array([self.score(text, language) for text, language in zip(texts, languages, strict=True)])

    def limits(self, languages: Sequence[str], min_score: Mapping[str, float]) -> NDArray[np.float64]:
        """The threshold of each document: the recipe's for its language, else the calibrated one, else NaN."""
        known = {language: entry.min_score for language, entry in self.card.languages.items()}
        known |= {language: value for language, value in min_score.items() if language in known}
        return np.array([known.get(language, np.nan) for language in languages])

    def write(self, directory: Path) -> None:
        """Store the model: JSON and plain arrays, nothing that is run when it is read."""
        card = json.dumps(self.card.model_dump(), indent=1, sort_keys=True) + "\n"
        (directory / NAME).write_text(card, encoding="utf-8")
        for language, weights in self.weights.items():
            np.save(directory / f"weights-{language}.npy", weights.astype(np.float32), allow_pickle=False)


@dataclass(frozen=True)
class ModelRule:
    """The model as one more rule of cleaning: small enough to be sent to workers, each of which reads the model once."""

    directory: Path
    """The artifact of `quality_model`."""
    min_score: Mapping[str, float]
    """The recipe's thresholds by language."""

    def digest(self) -> str:
        """Of the model's files: what a result that it decided is kept for."""
        files = [self.directory / NAME, *sorted(self.directory.glob("weights-*.npy"))]
        return digest_json({path.name: digest_file(path) for path in files})

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """Score and limit of each document, shape (documents, 2)."""
        model = read_model(self.directory)
        return np.stack([model.scores(texts, languages), model.limits(languages, self.min_score)], axis=1)


@lru_cache(maxsize=1)
def read_model(directory: Path) -> QualityModel:
    """The model of an artifact; each process reads it once.

    Raises:
        DataError: a file of it is missing or damaged.
    """
    try:
        card = ModelCard.model_validate(json.loads((directory / NAME).read_text(encoding="utf-8")))
        weights: dict[str, Any] = {
            language: np.load(directory / f"weights-{language}.npy", allow_pickle=False) for language in card.languages
        }
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{directory}: not a readable quality model: {error}; make quality_model again") from error
    for language, each in weights.items():
        if each.shape != (1 << card.features.bucket_bits,) or each.dtype != np.float32:
            raise DataError(f"{directory}/weights-{language}.npy: {each.dtype} of shape {each.shape} are not this model's")
    return QualityModel(card, weights)
