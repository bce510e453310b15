"""The recipe's raw text and what is done to it before anything is tokenized."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle.recipe.base import RUNTIME, Section


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
    weight: float | None = Field(default=None, gt=0)
    """Share of the mix's tokens, in proportion to the other sources' weights; given for all sources or for none. Then
    `mix.max_epochs` limits repetition, and `epochs` stays 1."""
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


class OverlapConfig(Section):
    """How long a passage is that a document may not share with protected text.

    13 words as in Brown et al. (2020); a Han character carries less than a word, so 30 of them. In mixed text each Han
    character is 1/30 and each other word 1/13 of a passage.
    """

    words: int = Field(default=13, gt=0)
    han_characters: int = Field(default=30, gt=0)


class RepeatedTextConfig(Section):
    """Lines or paragraphs that stand in several documents: all but the first go (CCNet, Wenzek et al. 2020)."""

    unit: Literal["none", "line", "paragraph"] = "none"
    min_words: int = Field(default=10, gt=0)
    """Shorter ones stay: headings, list entries, lines of code. In Han text each character is a word."""


class MixConfig(Section):
    """Pretraining text by tokens, where sources have weights or a temperature is given; else their `epochs` decide."""

    temperature: float | None = Field(default=None, ge=1)
    """Shares follow tokens^(1/temperature): at 1 each source counts as it is, above it small sources count for more."""
    tokens: int | None = Field(default=None, gt=0)
    """Tokens of the mix; by default as many as all sources hold."""
    max_epochs: float = Field(default=4.0, gt=0)
    """No source is seen more often; up to four times costs little (Muennighoff et al. 2023)."""


class FilesRead(Section):
    """Files that the corpus stage reads beside its inputs; `name` is the recipe's field."""

    name: str
    path: str


class CurationConfig(Section):
    """Cleaning of each source, then deduplication and the held-out split over all of them."""

    traditional_to_simplified: bool = False
    languages: tuple[str, ...] = ("en", "zh")
    """Documents in any other language are dropped."""
    min_language_score: float = Field(default=0.3, ge=0, le=1)
    """Below this certainty (code, tables, short text) a document is taken to be in its source's language."""
    quality: QualityThresholds = QualityThresholds()
    minhash: MinHashConfig = MinHashConfig()
    against: tuple[str, ...] = ()
    """Directories of documents (artifacts of `corpus` or `cleaned_corpora`): what they hold already is dropped here."""
    repeated_text: RepeatedTextConfig = RepeatedTextConfig()
    decontaminate: tuple[str, ...] = ()
    """Evaluation files (JSONL, JSON, CSV, text, compressed, tar and zip of those): documents sharing a passage go."""
    overlap: OverlapConfig = OverlapConfig()
    """What a passage of an evaluation item is."""
    heldout_overlap: OverlapConfig | None = OverlapConfig(words=50, han_characters=115)
    """Training documents that share such a passage with a held-out document go, too; null keeps them. 50 words as in Lee et
    al. (2022): at 13 the stock phrases of one kind of text (Python documentation: a quarter of it) would count."""
    heldout: HeldoutConfig = HeldoutConfig()
    workers: Annotated[int, RUNTIME] = Field(default=2, gt=0)

    def files_read(self) -> tuple[FilesRead, ...]:
        """What the corpus stage reads beside the cleaned sources: evaluation files, and documents to compare with."""
        fields = {"decontaminate": self.decontaminate, "against": self.against}
        return tuple(
            FilesRead(name=f"curation.{field}[{number}]", path=path)
            for field, paths in fields.items()
            for number, path in enumerate(paths)
        )
