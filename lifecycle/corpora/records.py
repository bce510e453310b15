"""What a reader yields: documents, and records that it could not make one of."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lifecycle.corpora.documents import Document
from lifecycle.corpora.encoded_text import EncodedText

MAX_EXCERPT = 300
_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


@dataclass(frozen=True)
class Damage:
    """One record that could not become a document: where it stands, under which rule it is counted, how it began."""

    rule: str
    locator: str
    excerpt: str
    expected: bool = False
    """The record is sound but holds no text (a page of links, an error page): dropped, but not held against tolerance."""


@dataclass
class Notes:
    """What a reader counts beside documents; it goes into the ledger's notes."""

    encodings: Counter[str] = field(default_factory=Counter)
    """Encoding chosen, once for each file or page."""
    counts: Counter[str] = field(default_factory=Counter)
    """Things that are no records of text at all, by name: archive members left out, WARC requests."""


Records = Iterator[Document | Damage]


def document_id(source: str, locator: str) -> str:
    """Stable across runs and machines: a digest of the source's name and the place within it."""
    return hashlib.sha256(f"{source}\n{locator}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


def make_document(
    source: str,
    language: str,
    locator: str,
    text: str | EncodedText,
    *,
    url: str | None = None,
    group: str | None = None,
    meta: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> Document:
    """A document of `source`.

    Args:
        locator: its place in the source, the same on every machine.
        id: the record's own identifier, which then decides the document's with the name of its file (`meta`): numbers
            restart in every file.
        group: documents that stay together in the held-out split; without one it is a group by itself.
    """
    meta = dict(meta or {})
    file = str(meta.get("file", ""))
    identifier = document_id(source, locator if id is None else f"{file}#{id}")
    return {
        "id": identifier,
        "text": text,
        "source": source,
        "url": url,
        "lang": language,
        "group": group or identifier,
        "meta": _file_alone(file) if meta == {"file": file} else _as_json(meta),
    }


@lru_cache(maxsize=16)
def _file_alone(file: str) -> str:
    """What all records of a file have in common."""
    return _as_json({"file": file})
