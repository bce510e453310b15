"""Plain text files: encodings detected, one document a file, line or paragraph."""

import re
from collections.abc import Iterator

from lifecycle.corpora.decoded import decoded_parts
from lifecycle.corpora.encodings import ESCAPED
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records, make_document
from lifecycle.recipe.corpora import TextSource

PARAGRAPHS = re.compile(r"\n(?:[ \t\u3000]*\n)+")
PARAGRAPHS_PER_GROUP = 50
"""Neighbouring paragraphs speak of the same: they stay on one side of the held-out split, and one book still splits."""


def read(source: TextSource, notes: Notes, files: Files | None = None) -> Records:
    """The source's documents in order of the files; `notes` counts the encoding chosen for each file.

    Damage: that of `decoded_parts`, and `invalid_bytes` for a document with bytes that its file's encoding does not know.
    """
    for item in decoded_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
        else:
            name, text = item
            yield from _documents(source, name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _documents(source: TextSource, name: str, text: str) -> Records:
    for locator, group, part in _split(source, name, text):
        broken = ESCAPED.search(part)
        if broken:
            yield Damage("invalid_bytes", locator, part[max(0, broken.start() - 40) :][:MAX_EXCERPT])
        elif part.strip():
            yield make_document(source.name, source.language, locator, part, group=group, meta={"file": name})


def _split(source: TextSource, name: str, text: str) -> Iterator[tuple[str, str | None, str]]:
    """Locator, group and text of each part."""
    if source.document == "file":
        yield name, f"{source.name}:{name}", text
    elif source.document == "line":
        for number, line in enumerate(text.split("\n"), 1):
            yield f"{name}:{number}", None, line
    else:
        for number, paragraph in enumerate(PARAGRAPHS.split(text)):
            yield f"{name}:paragraph {number + 1}", f"{source.name}:{name}#{number // PARAGRAPHS_PER_GROUP}", paragraph
