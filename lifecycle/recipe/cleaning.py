"""What is done to the documents of one source: said for all of them in `curation`, and for one in its own `curation`."""

from typing import Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section
from lifecycle.recipe.curation import Blocklist, BoilerplateConfig, PiiConfig, RepeatedLinesConfig
from lifecycle.recipe.rules import (
    C4QualityRules,
    ChineseQualityRules,
    FineWebQualityRules,
    GopherQualityRules,
    GopherRepetitionRules,
    LightRules,
    RuleSet,
)


class CleaningConfig(Section):
    """Repairs, and the rules that judge each document by itself."""

    traditional_to_simplified: bool = False
    html_remnants: bool = False
    """Whether entities and leftover tags outside code are repaired; text about HTML itself loses by it."""
    repeated_lines: RepeatedLinesConfig | None = None
    boilerplate: BoilerplateConfig | None = None
    pii: PiiConfig | None = None
    blocklists: tuple[Blocklist, ...] = ()
    """One for each category."""
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
    light: LightRules = LightRules()
    gopher_quality: GopherQualityRules = GopherQualityRules()
    gopher_repetition: GopherRepetitionRules = GopherRepetitionRules()
    c4_quality: C4QualityRules = C4QualityRules()
    fineweb_quality: FineWebQualityRules = FineWebQualityRules()
    chinese_quality: ChineseQualityRules = ChineseQualityRules()

    @model_validator(mode="after")
    def _one_list_of_a_category(self) -> "CleaningConfig":
        categories = [each.category for each in self.blocklists]
        if len(set(categories)) != len(categories):
            raise ValueError(f"blocklists: a category has one list, got {categories}; join its files or name two categories")
        return self
