"""The recipe's parts of cleaning that a user switches on: repeated lines, boilerplate, personal data, blocklists."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from pydantic import Field

from lifecycle.digests import digest_file
from lifecycle.errors import RecipeError
from lifecycle.recipe.base import Section

if TYPE_CHECKING:
    from lifecycle.recipe.cleaning import CleaningConfig

PiiKind = Literal["email", "phone", "id_card", "bank_card", "ip", "credit_code", "contact_id", "handle"]
PII_KINDS: tuple[PiiKind, ...] = get_args(PiiKind)


class PiiConfig(Section):
    """Personal data becomes typed placeholders: `<EMAIL>`, `<PHONE>`, `<ID_CARD>`, `<BANK_CARD>`, `<IP>`, `<CREDIT_CODE>`
    (of Chinese companies), `<CONTACT_ID>` (WeChat and QQ), `<HANDLE>` (`@name` where it answers or names an account)."""

    kinds: tuple[PiiKind, ...] = Field(default=PII_KINDS, min_length=1)


class BoilerplateConfig(Section):
    """Advert, contact and platform sentences at the head and the tail of a document."""

    phrases: tuple[str, ...] = ()
    """Phrase files beside those that ship in lifecycle/curation/phrases; `$NAME` is taken from the environment."""
    clean_sentences: int = Field(default=5, gt=0)
    """Clean sentences in a row that end the walk inwards from either side (seed: five)."""
    max_sentence: int = Field(default=100, gt=0)
    """Characters up to which a sentence with such a phrase is an advert; a longer one says something else as well."""
    trim_contents: bool = True
    """Whether a table of contents at the head goes."""
    contents_headings: tuple[str, ...] = ()
    """Files of its headings beside those that ship in lifecycle/curation/phrases/headings, written as phrase files are."""
    trim_references: bool = True
    """Whether a list of references at the end goes."""
    references_headings: tuple[str, ...] = ()
    """Files of its headings, likewise."""
    trim_broken: bool = False
    """Whether a first or last sentence that is cut off is trimmed, where whole sentences stay."""


class RepeatedLinesConfig(Section):
    """Lines that stand in many documents of a source: navigation, licences, page furniture (CCNet, Wenzek et al. 2020)."""

    min_documents: int = Field(default=10, gt=1)
    min_share: float = Field(default=0.05, gt=0, le=1)
    """Share of the source's documents; a line goes when it reaches this and `min_documents`."""
    min_characters: int = Field(default=8, gt=0)
    """Letters, digits and Han below which a line is structure (`}`, `---`, `小结`), not furniture; Han count twice."""


class Blocklist(Section):
    """Words of one category; a document with too many of them is dropped under `blocklist:<category>`."""

    category: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """File with one word a line, `#` for comments; `$NAME` is taken from the environment."""
    min_hits: int = Field(default=3, gt=0)
    """Occurrences below which a document stays, however short it is (seed: three)."""
    min_share: float = Field(default=0.005, ge=0, le=1)
    """Characters in listed words over all that are not white space; a document goes when it reaches both limits."""


class ListFile(NamedTuple):
    """A list on disk as it is now: what is kept of it in memory stands for this state of the file only."""

    path: Path
    modified: int
    size: int


def list_file(path: str, field: str) -> ListFile:
    """The file that a recipe's path means; raises RecipeError when there is none."""
    full = Path(os.path.expanduser(os.path.expandvars(path)))
    if not full.is_file():
        raise RecipeError(f"{field}: no file at {path!r} ({full}); give a text file with one entry a line")
    state = full.stat()
    return ListFile(full, state.st_mtime_ns, state.st_size)


def list_entries(path: Path, field: str) -> list[str]:
    """The entries of a list file in order: lines without white space around them, comments and blank lines left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RecipeError(f"{field}: {path} is not UTF-8 ({error}); convert it") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def list_digests(curation: "CleaningConfig") -> dict[str, str]:
    """The content of every list file that the recipe names: another word in a list is another result."""
    lists = ("phrases", "contents_headings", "references_headings") if curation.boilerplate else ()
    named = [(f"curation.boilerplate.{name}", path) for name in lists for path in getattr(curation.boilerplate, name)]
    named += [(f"curation.blocklists.{entry.category}", entry.path) for entry in curation.blocklists]
    return {path: digest_file(list_file(path, field).path) for field, path in named}
