"""Whole text files of a source, decoded."""

from collections.abc import Iterator

from lifecycle.corpora.encodings import decode
from lifecycle.corpora.opening import UnreadableError, read_whole, rule_of
from lifecycle.corpora.parts import parts
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes
from lifecycle.recipe.corpora import FileSource


def decoded_parts(source: FileSource, notes: Notes, files: Files | None = None) -> Iterator[tuple[str, str] | Damage]:
    """Name and text of each part; `notes` counts the encoding chosen for each.

    Damage: `unreadable_file` (cannot be decompressed), `too_large`, `undecodable_file` (no known encoding, or binary) and
    `empty_file`, besides that of `parts`. Bytes that do not decode are lone surrogates in the text.
    """
    for item in whole_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
            continue
        name, data = item
        decoded = decode(data, source.language)
        if decoded is None:
            yield Damage("undecodable_file", name, repr(data[:MAX_EXCERPT]))
            continue
        text, encoding = decoded
        notes.encodings[encoding] += 1
        yield (name, text) if text.strip() else Damage("empty_file", name, "")


def whole_parts(source: FileSource, notes: Notes, files: Files | None = None) -> Iterator[tuple[str, bytes] | Damage]:
    """Name and bytes of each part; damage is `unreadable_file`, `too_large`, and that of `parts`."""
    for part in parts(source, notes, files):
        if isinstance(part, Damage):
            yield part
            continue
        try:
            with part.open() as file:
                data = read_whole(file, source.max_megabytes << 20)
        except UnreadableError as error:
            yield Damage(rule_of(error, "unreadable_file"), part.name, str(error))
            continue
        yield part.name, data
