"""What is done to the documents of one source: said for all of them in `curation`, and for one in its own `curation`."""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.base import Section
from lifecycle.recipe.curation import Blocklist, BoilerplateConfig, PiiConfig, RepeatedLinesConfig
from lifecycle.recipe.rules import (
    C4QualityRules,
    ChineseQualityRules,
    FineWebQualityRules,
    GopherQualityRules,
    GopherRepetitionRules,
    RuleSet,
)


class QualityThresholds(Section):
    """Document-level limits; each violated limit is a drop rule of its own."""

    min_characters: int = Field(default=50, ge=0)
    max_characters: int = Field(default=1_000_000, gt=0)
    max_symbol_share: float = Field(default=0.35, ge=0, le=1)
    """Share of characters that are neither letters, digits nor white space."""
    max_digit_share: float = Field(default=0.3, ge=0, le=1)
    """Digits over characters that are not white space."""
    min_letter_share: float = Field(default=0.4, ge=0, le=1)
    """Letters of any script, over characters that are not white space."""
    max_duplicate_line_share: float = Field(default=0.3, ge=0, le=1)
    """Characters in repeated lines over all characters (Gopher, Rae et al. 2021)."""
    max_top_ngram_share: float = Field(default=0.2, ge=0, le=1)
    """Characters covered by the most frequent word 2-gram that occurs four times or more (Gopher, Rae et al. 2021)."""


class CleaningConfig(Section):
    """Repairs, and the rules that judge each document by itself."""

    traditional_to_simplified: bool = False
    html_remnants: bool = False
    """Whether entities and leftover tags outside code are repaired; text about HTML itself loses by it."""
    repeated_lines: RepeatedLinesConfig | None = None
    boilerplate: BoilerplateConfig | None = None
    pii: PiiConfig | None = None
    blocklists: tuple[Blocklist, ...] = ()
    languages: tuple[str, ...] = ("en", "zh")
    """Documents in any other language are dropped."""
    language_model: Literal["fast", "lingua"] = "fast"
    """`fast` is fastText's lid.176; `lingua` tells closely related languages and short texts apart better, at a hundredth of
    its speed and 1 GB of memory for each worker (`pip install lifecycle[lingua]`)."""
    min_language_score: float = Field(default=0.3, ge=0, le=1)
    """Below this certainty (code, tables, short text) a document is taken to be in its source's language."""
    max_mixed_language: float | None = Field(default=None, ge=0, le=1)
    """Share of a document's text in other languages than its own, above which it is dropped. At 1 it is measured and drops
    nothing, so that `lifecycle sweep` can try limits; null measures nothing, which saves asking the model again."""
    quality_sets: tuple[RuleSet, ...] = ("light",)
    """Which sets of quality rules documents must pass, in this order."""
    quality: QualityThresholds = QualityThresholds()
    """Thresholds of the set `light`, in every language."""
    gopher_quality: GopherQualityRules = GopherQualityRules()
    gopher_repetition: GopherRepetitionRules = GopherRepetitionRules()
    c4_quality: C4QualityRules = C4QualityRules()
    fineweb_quality: FineWebQualityRules = FineWebQualityRules()
    chinese_quality: ChineseQualityRules = ChineseQualityRules()
