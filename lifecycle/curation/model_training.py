"""Stage `quality_model`: what good text looks like, learnt from labelled samples, measured on samples not learnt from."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.read import records
from lifecycle.corpora.records import Damage, Notes
from lifecycle.curation.language import language_of
from lifecycle.curation.model import LanguageModel, ModelCard, QualityModel
from lifecycle.curation.model_features import Buckets, Features
from lifecycle.curation.model_plots import plot_precision_recall, plot_scores
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import SourceBase
from lifecycle.recipe.quality import LinearModelConfig, QualityModelConfig

FEWEST = 20
"""Samples of either kind of a language, in training and held out together; fewer say nothing about a threshold."""
INVERSE_REGULARIZATION = 1000.0
"""Features are shares of a document's n-grams: a thousand times smaller than the unit vectors for which 1 is usual."""
MAX_ITERATIONS = 500


@dataclass(frozen=True)
class Sample:
    """One labelled document."""

    text: str
    language: str
    good: bool
    heldout: bool


def train_quality_model(
    sources: Mapping[str, tuple[SourceBase, bool]],
    config: QualityModelConfig,
    min_language_score: float,
    out: Path,
    run_dir: Path,
) -> dict[str, Any]:
    """Train the model from labelled sources; see `learn`.

    Args:
        sources: labelled sources by name (`lifecycle.recipe.quality.samples`).
        min_language_score: as in cleaning, so that a document is in the same language here and there.

    Raises:
        DataError: as `learn`, or nothing could be read.
    """
    return learn("quality_model", _read(sources, config, min_language_score), config, out, run_dir)


def learn(name: str, labelled: Sequence[Sample], config: LinearModelConfig, out: Path, run_dir: Path) -> dict[str, Any]:
    """Train and calibrate one classifier a language and write the model into `out`; returns figures on held-out samples.

    Each text counts once, and not at all where it is labelled both ways.

    Args:
        name: what the model is called in errors.

    Raises:
        DataError: a language has samples of one kind only, or too few.
    """
    features = Features.model_validate(config.model_dump(include=set(Features.model_fields)))
    samples = _unique(labelled)
    languages: dict[str, LanguageModel] = {}
    weights: dict[str, NDArray[np.float32]] = {}
    heldout: dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {}
    facts: dict[str, Any] = {}
    for language in sorted({sample.language for sample in samples}):
        some = [sample for sample in samples if sample.language == language]
        _check(name, language, some)
        weights[language], bias = _fit([sample for sample in some if not sample.heldout], features, config.seed)
        model = QualityModel(
            ModelCard(features=features, languages={language: LanguageModel(bias=bias, min_score=0)}), weights
        )
        judged = [sample for sample in some if sample.heldout]
        started = time.process_time()
        scores = model.scores([sample.text for sample in judged], [language] * len(judged))
        seconds = max(time.process_time() - started, 1e-9)
        good = np.array([sample.good for sample in judged])
        limit = round(float(np.quantile(scores[good], 1 - config.keep_positive, method="lower")), 4)
        languages[language] = LanguageModel(bias=bias, min_score=limit)
        heldout[language] = good, scores
        facts |= _facts(language, len(some), good, scores, limit)
        read = sum(len(sample.text[: config.max_characters].encode("utf-8", "surrogatepass")) for sample in judged)
        facts[f"{language}_scored_megabytes_per_second"] = round(read / 1e6 / seconds, 1)
    QualityModel(ModelCard(features=features, languages=languages), weights).write(out)
    plot_precision_recall(run_dir, heldout)
    plot_scores(run_dir, heldout, {language: entry.min_score for language, entry in languages.items()})
    return {"rows": len(samples)} | facts


def _read(
    sources: Mapping[str, tuple[SourceBase, bool]], config: QualityModelConfig, min_language_score: float
) -> list[Sample]:
    found = []
    for name, (source, good) in sources.items():
        sound = (each for each in records(source, Notes(), 1) if not isinstance(each, Damage))  # type: ignore[arg-type]
        rows = list(islice((each for each in sound if each["text"].strip()), config.max_documents))
        if not rows:
            raise DataError(f"quality_model: the sample {name} has no document that can be read")
        for row in rows:
            # A foreign page among the samples is no sample of its language, which may have none of the other kind.
            language = language_of(row["text"], row["lang"], min_language_score)
            if language == source.language:
                found.append(Sample(row["text"], language, good, in_heldout(row["group"], config)))
    return found


def in_heldout(group: str, config: LinearModelConfig) -> bool:
    """Whether the samples of this group are measured on, not learnt from."""
    return xxhash.xxh3_64_intdigest(group.encode("utf-8", "surrogatepass"), seed=config.seed) / 2**64 < config.heldout


def _unique(samples: Sequence[Sample]) -> list[Sample]:
    """Each text once; one that occurs as good and as bad says nothing and goes."""
    labels: dict[str, set[bool]] = {}
    for sample in samples:
        labels.setdefault(sample.text, set()).add(sample.good)
    once = {sample.text: sample for sample in reversed(samples) if len(labels[sample.text]) == 1}
    return [sample for sample in samples if once.get(sample.text) is sample]


def _check(name: str, language: str, samples: Sequence[Sample]) -> None:
    good, bad = ([each.heldout for each in samples if each.good is label] for label in (True, False))
    if any(len(some) < FEWEST or not 0 < sum(some) < len(some) for some in (good, bad)):
        raise DataError(
            f"{name}: language {language} has {len(good)} positive samples ({sum(good)} held out) and {len(bad)} "
            f"negative ones ({sum(bad)} held out); give {FEWEST} or more of either kind, "
            "in several files or records, or none at all"
        )


def _fit(samples: Sequence[Sample], features: Features, seed: int) -> tuple[NDArray[np.float32], float]:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    places: list[Buckets] = []
    shares: list[NDArray[np.float64]] = []
    ends = [0]
    for sample in samples:
        found, counts = np.unique(features.buckets(sample.text), return_counts=True)
        places.append(found)
        shares.append(counts / max(int(counts.sum()), 1))
        ends.append(ends[-1] + found.size)
    matrix = csr_matrix(
        (np.concatenate(shares), np.concatenate(places).astype(np.int32), np.array(ends)),
        shape=(len(samples), 1 << features.bucket_bits),
    )
    # Sums over several threads come in any order, and so would the last bits of the weights.
    with threadpool_limits(limits=1):
        fitted = LogisticRegression(
            C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=MAX_ITERATIONS, random_state=seed
        ).fit(matrix, [sample.good for sample in samples])
    return fitted.coef_[0].astype(np.float32), round(float(fitted.intercept_[0]), 9)


def _facts(
    language: str, samples: int, good: NDArray[np.bool_], scores: NDArray[np.float64], limit: float
) -> dict[str, int | float]:
    from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

    return {
        f"{language}_samples": samples,
        f"{language}_heldout": int(good.size),
        f"{language}_accuracy": round(float(accuracy_score(good, scores >= 0.5)), 4),
        f"{language}_auc": round(float(roc_auc_score(good, scores)), 4),
        f"{language}_average_precision": round(float(average_precision_score(good, scores)), 4),
        f"{language}_min_score": limit,
        f"{language}_good_kept": round(float((scores[good] >= limit).mean()), 4),
        f"{language}_bad_dropped": round(float((scores[~good] < limit).mean()), 4),
    }
