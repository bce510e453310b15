"""Rules beside the quality sets whose figures are columns of the sidecar: languages, blocklists, the quality model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.measures import Counts, Figures, mixed_share
from lifecycle.curation.rule import Rule
from lifecycle.curation.sidecar import blocklist_columns
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import Blocklist


class _FromLimitOn(Rule):
    """Drops a document that has a figure above zero and not below the limit, whatever the threshold is called."""

    @property
    def drops_below(self) -> bool:
        """Large figures are dropped."""
        return False

    def broken(self, figures: Figures, limits: Figures | float) -> NDArray[np.bool_]:
        """Which documents the rule drops."""
        return (figures > 0) & (figures >= limits)


@dataclass(frozen=True)
class LanguageRule(_FromLimitOn):
    """The model is sure enough that a text is in a language that is not wanted.

    It says nothing (NaN) of documents whose source declares such a language: less certainty drops them, not more.
    """

    wanted: tuple[str, ...]

    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """How sure the model is of a language that is not wanted; zero where it found one that is."""
        score = np.where(np.isin(counts["found_lang"], self.wanted), 0.0, counts["language_score"])
        return np.where(np.isin(counts["declared_lang"], self.wanted), score, np.nan)

    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The same for every document."""
        return np.full(len(languages), config.min_language_score)


class MixedRule(Rule):
    """Asked of documents in a language that the recipe wants, where it has them measured."""

    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The share of foreign letters."""
        return mixed_share(counts)

    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The same for every document."""
        limit = config.max_mixed_language
        return np.full(len(languages), np.nan if limit is None else limit)


@dataclass(frozen=True)
class BlocklistRule(_FromLimitOn):
    """One of the two limits of a blocklist, of documents that reach the other one."""

    entry: Blocklist

    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """Hits or share of characters, whichever the threshold is about; zero where the other one is below its limit."""
        hits, characters = (counts[name] for name in blocklist_columns(self.entry.category))
        share = characters / np.maximum(counts["characters"] - counts["spaces"], 1)
        if self.threshold == "min_hits":
            return np.where(share >= self.entry.min_share, hits, 0).astype(np.float64)
        return np.where(hits >= self.entry.min_hits, share, 0.0)

    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """The same for every document."""
        return np.full(len(languages), float(getattr(self.entry, self.threshold)))


class ScoreRule(Rule):
    """The word of the quality model as cleaning noted it."""

    def figures(self, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """Scores; NaN in a language without a model."""
        return counts.get("quality_score", np.full(len(languages), np.nan))

    def limits(self, config: CurationConfig, counts: Counts, languages: NDArray[np.str_]) -> Figures:
        """Limits as noted: the recipe's, else the model's own."""
        return counts.get("quality_limit", np.full(len(languages), np.nan))


MIXED_RULE = MixedRule(
    "mixed_language",
    "max_mixed_language",
    "Much of the text is in other languages.",
    measured="`curation.max_mixed_language: 1` measures it and drops nothing",
)
SCORE_RULE = ScoreRule(
    "quality_model",
    "min_score",
    "Unlike the recipe's samples of good text. The limit of a language is the recipe's, else the model's own.",
    measured="cleaned without a quality model for this text; give the recipe a section `quality_model`",
)


def language_rules(config: CurationConfig) -> tuple[Rule, ...]:
    """Asked before the quality sets."""
    description = "The model is at least this sure of a language that is not wanted; below, the source's own counts."
    return (LanguageRule("language", "min_language_score", description, config.languages), MIXED_RULE)


def blocklist_rules(config: CurationConfig) -> tuple[BlocklistRule, ...]:
    """Asked after the quality sets: by share of each list of at least its `min_hits`."""
    return tuple(_of_list(entry, "min_share") for entry in config.blocklists)


def hits_rules(config: CurationConfig) -> tuple[BlocklistRule, ...]:
    """The same decisions, seen by the hits of each list of at least its `min_share`."""
    return tuple(_of_list(entry, "min_hits") for entry in config.blocklists)


def _of_list(entry: Blocklist, threshold: str) -> BlocklistRule:
    if threshold == "min_share":
        description = f"Listed words are this share of the text or more, and at least {entry.min_hits} in number."
    else:
        description = f"Listed words are as many or more, and at least {entry.min_share:g} of the text."
    return BlocklistRule(f"blocklist:{entry.category}", threshold, description, entry)
