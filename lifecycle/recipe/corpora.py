"""The recipe's raw text and what is done to it before anything is tokenized."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import RUNTIME, Section, identity, merged
from lifecycle.recipe.cleaning import CleaningConfig


class SourceBase(Section):
    """What every source states, whatever its kind."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Partition key in the Dagster UI."""
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
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
    curation: CleaningConfig = CleaningConfig()
    """What is done to this source otherwise than the recipe says under `curation`: only the fields given here replace it."""


class PythonDocsSource(SourceBase):
    """Documentation strings of packages installed in this environment, read from their source files, never imported."""

    kind: Literal["python_docs"]
    packages: tuple[str, ...] = Field(min_length=1)
    """Import names; `stdlib` stands for the whole standard library."""


class PythonTopicsSource(SourceBase):
    """The language reference topics that ship with every Python (what `help('FORMATTING')` shows)."""

    kind: Literal["python_topics"]


class FileSource(SourceBase):
    """A source of files, archives of files (zip, tar, compressed tar), or both."""

    path: str
    """File, directory, glob or fsspec URL of these; `$NAME` and `${NAME}` are taken from the environment."""
    members: str = "*"
    """Which members of an archive are read, as a pattern over their whole path (`*` matches `/` too)."""
    marker: str | None = Field(default=None, min_length=1, pattern=r"^[^/]+$")
    """Name of a file that says that others are complete: `_SUCCESS` for all in its directory, `*.done` for the file whose
    name `*` stands for. Files without it are not read yet. Null: every file counts as complete."""
    max_megabytes: int = Field(default=1024, gt=0)
    """Largest file, line or record that is held in memory at once, decompressed; a larger one is damage."""


class TextSource(FileSource):
    """Plain text files, optionally compressed; the encoding is detected and recorded."""

    kind: Literal["text"]
    document: Literal["file", "line", "paragraph"] = "file"
    """What one document is. Lines are held out one by one, paragraphs in blocks of 50, files whole."""


class JsonlSource(FileSource):
    """One JSON object a line, optionally compressed."""

    kind: Literal["jsonl"]
    text_field: str | tuple[str, ...] = "text"
    """Name or dotted path of a string or of strings (joined by newlines); of several, the first that a record has."""
    id_field: str | None = None
    url_field: str | None = None


class JsonSource(FileSource):
    """JSON files that are an array of records, or an object that holds one; a file that is one record counts as such."""

    kind: Literal["json"]
    records_field: str | None = None
    """Name or dotted path of the list of records, where it is not the file itself."""
    text_field: str | tuple[str, ...] = "text"
    """Name or dotted path of a string or of strings (joined by newlines); of several, the first that a record has."""
    id_field: str | None = None
    url_field: str | None = None


class CsvSource(FileSource):
    """Tables as text, with a column of text; the encoding is detected and recorded."""

    kind: Literal["csv"]
    text_field: str = "text"
    columns: tuple[str, ...] | None = None
    """Names of the columns of files without a header line."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quotes: bool = True
    """Whether `"` encloses fields; without, it is a character like any other."""
    id_field: str | None = None
    url_field: str | None = None


class HtmlSource(FileSource):
    """Web pages, one a file; a document is the main text of one."""

    kind: Literal["html"]


class WarcSource(FileSource):
    """Web archives (.warc, .arc, .wet, compressed or not): HTML responses give their main text, conversions their text."""

    kind: Literal["warc"]


class DatasetsSource(SourceBase):
    """A Hugging Face dataset: saved with `save_to_disk`, a downloaded repository, or one of the Hub, read as a stream."""

    kind: Literal["datasets"]
    path: str | None = None
    """Directory of a saved dataset or of a downloaded repository."""
    dataset: str | None = None
    """Name on the Hub."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a dataset of the Hub, in full: it is what lineage records, and needs no network to be known."""
    config: str | None = None
    split: str = "train"
    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "DatasetsSource":
        if (self.path is None) == (self.dataset is None):
            raise ValueError("a datasets source has either a path or the name of a dataset of the Hub")
        if self.dataset is not None and self.revision is None:
            raise ValueError(f"dataset {self.dataset}: give the `revision`, a full commit hash (`git ls-remote` shows it)")
        return self


class ParquetSource(FileSource):
    """Parquet files with a string column of text."""

    kind: Literal["parquet"]
    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = None


Source = Annotated[
    PythonDocsSource
    | PythonTopicsSource
    | TextSource
    | JsonlSource
    | JsonSource
    | CsvSource
    | HtmlSource
    | WarcSource
    | DatasetsSource
    | ParquetSource,
    Field(discriminator="kind"),
]


_LATER = ("epochs", "weight", "tolerance", "curation", "marker")
"""Of a source: `marker` decides which files are read, and these count as a snapshot."""


def read_identity(source: SourceBase) -> dict[str, Any]:
    """What decides which documents a source gives, beside its bytes: not what decides only whether reading fails
    (tolerance) or how text is judged or seen later."""
    return {key: value for key, value in identity(source).items() if key not in _LATER}


class MinHashConfig(Section):
    """Near-duplicate detection (Broder 1997); two documents of Jaccard similarity s meet with 1-(1-s^rows)^bands.

    Those that meet are duplicates where their signatures agree in at least (1/bands)^(1/rows) of all places.
    """

    shingle: int = Field(default=5, gt=0)
    """Words per shingle; in Han text each character is a word."""
    bands: int = Field(default=14, gt=0)
    rows: int = Field(default=8, gt=0)
    seed: int = 1


Scope = Literal["across_sources", "within_source"]


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
    """Files that a stage reads beside its inputs; `name` is the recipe's field."""

    name: str
    path: str


class CurationConfig(CleaningConfig):
    """Cleaning of each source, then deduplication and the held-out split over all of them."""

    minhash: MinHashConfig = MinHashConfig()
    deduplication_scope: Scope = "across_sources"
    """Which documents are compared: exact, near-duplicate and repeated lines or paragraphs alike. Within each source alone,
    copies in other sources stay: then only `heldout_overlap` keeps copies of held-out text from training, and not those of
    texts shorter than its passages. `against` is compared with either way."""
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
    """Worker processes; with the executor `ray`, a fourth of the tasks in flight."""
    executor: Annotated[Literal["local", "ray"], RUNTIME] = "local"
    """Where the workers run: on this machine, or on the Ray cluster of `RAY_ADDRESS` (needs the extra `ray`)."""

    def files_read(self) -> tuple[FilesRead, ...]:
        """What the corpus stage reads beside the cleaned sources: evaluation files, and documents to compare with."""
        against = [FilesRead(name=f"curation.against[{number}]", path=path) for number, path in enumerate(self.against)]
        return (*self.evaluation_files(), *against)

    def evaluation_files(self) -> tuple[FilesRead, ...]:
        """Files of items that measure the model, which nothing that it is trained on may hold."""
        return tuple(
            FilesRead(name=f"curation.decontaminate[{number}]", path=path) for number, path in enumerate(self.decontaminate)
        )

    def of(self, source: SourceBase) -> "CurationConfig":
        """This configuration with what one source states for itself."""
        return merged(self, source.curation)
