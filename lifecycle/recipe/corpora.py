"""The recipe's raw text and what is done to it before anything is tokenized."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.curation import Blocklist, BoilerplateConfig, PiiConfig, RepeatedLinesConfig


class SourceBase(Section):
    """What every source states, whatever its kind."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Partition key in the Dagster UI."""
    language: str = "en"
    """ISO 639-1 code of the language that most of the text is in."""
    licence: str
    """What is known of the right to use this text; copied into lineage and the model card."""
    epochs: float = Field(default=1.0, gt=0)
    """How often this source's tokens are seen in one pass over the mix; 0.5 takes half of the documents."""
    tolerance: float = Field(default=0.01, ge=0, le=1)
    """Share of damaged records above which reading this source fails."""


class PythonDocsSource(SourceBase):
    """Documentation strings of packages installed in this environment, read from their source files, never imported."""

    kind: Literal["python_docs"]
    packages: tuple[str, ...] = Field(min_length=1)
    """Import names; `stdlib` stands for the whole standard library."""


class PythonTopicsSource(SourceBase):
    """The language reference topics that ship with every Python (what `help('FORMATTING')` shows)."""

    kind: Literal["python_topics"]


class TextSource(SourceBase):
    """Plain text files, optionally compressed; the encoding is detected and recorded."""

    kind: Literal["text"]
    path: str
    """File, directory or glob; `$NAME` and `${NAME}` are taken from the environment."""
    document: Literal["file", "line", "paragraph"] = "file"
    """What one document is. Lines are held out one by one, paragraphs in blocks of 50, files whole."""


class JsonlSource(SourceBase):
    """One JSON object a line, optionally compressed."""

    kind: Literal["jsonl"]
    path: str
    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = None


class ParquetSource(SourceBase):
    """Parquet files with a string column of text."""

    kind: Literal["parquet"]
    path: str
    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = None


Source = Annotated[
    PythonDocsSource | PythonTopicsSource | TextSource | JsonlSource | ParquetSource,
    Field(discriminator="kind"),
]


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


class MinHashConfig(Section):
    """Near-duplicate detection (Broder 1997); two documents of Jaccard similarity s meet with 1-(1-s^rows)^bands.

    Those that meet are duplicates where their signatures agree in at least (1/bands)^(1/rows) of all places.
    """

    shingle: int = Field(default=5, gt=0)
    """Words per shingle; in Han text each character is a word."""
    bands: int = Field(default=14, gt=0)
    rows: int = Field(default=8, gt=0)
    seed: int = 1


class HeldoutConfig(Section):
    """Text set aside for evaluation before anything is trained; whole groups (a file, a module) go together."""

    share: float = Field(default=0.03, gt=0, lt=1)
    seed: int = 17
    max_bytes: int = Field(default=200_000, gt=0)
    """How much of the held-out text the bits-per-byte measurement reads, at most."""


class CurationConfig(Section):
    """Cleaning of each source, then deduplication and the held-out split over all of them."""

    traditional_to_simplified: bool = False
    html_remnants: bool = False
    """Whether entities and leftover tags outside code are repaired; text about HTML itself loses by it."""
    repeated_lines: RepeatedLinesConfig | None = None
    boilerplate: BoilerplateConfig | None = None
    pii: PiiConfig | None = None
    blocklists: tuple[Blocklist, ...] = ()
    languages: tuple[str, ...] = ("en", "zh")
    """Documents in any other language are dropped."""
    min_language_score: float = Field(default=0.3, ge=0, le=1)
    """Below this certainty (code, tables, short text) a document is taken to be in its source's language."""
    quality: QualityThresholds = QualityThresholds()
    minhash: MinHashConfig = MinHashConfig()
    heldout: HeldoutConfig = HeldoutConfig()
    workers: Annotated[int, RUNTIME] = Field(default=2, gt=0)
