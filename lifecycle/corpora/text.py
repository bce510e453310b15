"""Plain text files: encodings detected, one document a file, line or paragraph."""

import re
from collections import Counter
from collections.abc import Iterator

from lifecycle.corpora.encodings import ESCAPED, decode
from lifecycle.corpora.paths import DECOMPRESSION_ERRORS, open_bytes
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Records, make_document
from lifecycle.corpora.snapshot import source_files
from lifecycle.recipe.corpora import TextSource

PARAGRAPHS = re.compile(r"\n(?:[ \t\u3000]*\n)+")
PARAGRAPHS_PER_GROUP = 50
"""Neighbouring paragraphs speak of the same: they stay on one side of the held-out split, and one book still splits."""


def read(source: TextSource, encodings: Counter[str]) -> Records:
    """The source's documents in order of the files; `encodings` counts the encoding chosen for each file.

    Damage: `unreadable_file` (cannot be decompressed), `undecodable_file` (no known encoding, or binary), `empty_file`,
    and `invalid_bytes` for a document with bytes that its file's encoding does not know.
    """
    for path, name in source_files(source):
        try:
            with open_bytes(path) as file:
                data = file.read()
        except DECOMPRESSION_ERRORS as error:
            yield Damage("unreadable_file", name, f"{path}: {error}")
            continue
        decoded = decode(data, source.language)
        if decoded is None:
            yield Damage("undecodable_file", name, repr(data[:MAX_EXCERPT]))
            continue
        text, encoding = decoded
        encodings[encoding] += 1
        if not text.strip():
            yield Damage("empty_file", name, "")
            continue
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
