"""Plain text files: encodings detected, one document a file, line or paragraph."""

import codecs
import logging
import re
from collections import Counter
from collections.abc import Iterator

from charset_normalizer import from_bytes

from lifecycle.corpora.paths import DECOMPRESSION_ERRORS, open_bytes
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Records, make_document
from lifecycle.corpora.snapshot import source_files
from lifecycle.recipe.corpora import TextSource

logger = logging.getLogger(__name__)

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DETECTION_BYTES = 200_000
PARAGRAPHS = re.compile(r"\n[ \t\u3000]*\n")


def read(source: TextSource, encodings: Counter[str]) -> Records:
    """The source's documents in order of the files; `encodings` counts the encoding chosen for each file.

    A file that cannot be decompressed is damage under `unreadable_file`, one in no known encoding under
    `undecodable_file`.
    """
    for path, name in source_files(source):
        try:
            with open_bytes(path) as file:
                data = file.read()
        except DECOMPRESSION_ERRORS as error:
            yield Damage("unreadable_file", name, f"{path}: {error}")
            continue
        encoding = detect_encoding(data)
        if encoding is None:
            yield Damage("undecodable_file", name, repr(data[:MAX_EXCERPT]))
            continue
        encodings[encoding] += 1
        text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        for locator, part in _split(source.document, name, text):
            if part.strip():
                yield make_document(source.name, source.language, locator, part, group=name, meta={"file": name})
            elif source.document == "file":
                yield Damage("empty_file", name, "")


def detect_encoding(data: bytes) -> str | None:
    """The encoding of a file: its byte order mark, else UTF-8 where the bytes are valid UTF-8, else the likeliest
    legacy encoding (GB18030, Big5, UTF-16, Latin-1, …) in which every byte decodes; None where there is none.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding if _decodes(data, encoding) else None
    if _decodes(data, "utf-8"):
        return "utf-8"
    best = from_bytes(data[:DETECTION_BYTES]).best()
    candidates = [best.encoding] if best else []
    # GB2312 and GBK are parts of GB18030; a long file may hold characters that its beginning does not show.
    if candidates and candidates[0] in ("gb2312", "gbk", "hz"):
        candidates.insert(0, "gb18030")
    return next((encoding for encoding in candidates if _decodes(data, encoding)), None)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _split(unit: str, name: str, text: str) -> Iterator[tuple[str, str]]:
    if unit == "file":
        yield name, text
        return
    pieces = text.split("\n") if unit == "line" else PARAGRAPHS.split(text)
    for number, piece in enumerate(pieces, 1):
        yield f"{name}:{unit} {number}", piece
