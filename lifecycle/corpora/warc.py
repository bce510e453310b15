"""Web archives: WARC, WET and ARC."""

import io
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lifecycle.corpora.encodings import ESCAPED, decode
from lifecycle.corpora.opening import UnreadableError
from lifecycle.corpora.pages import main_text
from lifecycle.corpora.parts import Part, parts
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records, make_document
from lifecycle.corpora.warc_records import RawRecord, raw_records
from lifecycle.recipe.corpora import WarcSource

HTML_TYPES = ("text/html", "application/xhtml+xml")
CHARSET = "charset="


@dataclass(frozen=True)
class Content:
    """One parsed record."""

    kind: str
    media_type: str
    charset: str | None
    status: str
    body: bytes
    url: str | None
    date: str | None
    problems: str
    """Digests that do not fit; empty where all do, or none is stated."""


def read(source: WarcSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a record: of HTML `response` and `resource` records the main text, of `conversion` (WET) the text.

    `notes` counts the other records by type. A URL and the date of the archive go with each document.
    Damage: that of `parts`, `raw_records` and `main_text`, `invalid_record` for what warcio cannot parse, `bad_digest`,
    `undecodable_text`, `empty_text`; and, not held against the tolerance, `http_status` for pages of any status but 2xx.
    """
    for part in parts(source, notes, files):
        if isinstance(part, Damage):
            yield part
        else:
            yield from _read_part(source, part, notes)


def _read_part(source: WarcSource, part: Part, notes: Notes) -> Records:
    limit = source.max_megabytes << 20
    try:
        with part.open(keep_gzip=True) as file:
            for number, record in enumerate(raw_records(file, limit), 1):
                made = _document(source, part.name, number, record, limit, notes)
                if made is not None:
                    yield made
    except UnreadableError as error:
        yield Damage(error.rule or "unreadable_file", part.name, str(error))


def _document(source: WarcSource, name: str, number: int, record: RawRecord, limit: int, notes: Notes) -> Any:
    locator = f"{name}:record {number}"

    def damage(rule: str, excerpt: str, expected: bool = False) -> Damage:
        return Damage(rule, locator, excerpt, expected)

    start = record.data[:MAX_EXCERPT].decode("utf-8", "replace")
    if record.rule:
        return damage(record.rule, start)
    content = parse(record.data, limit)
    if content is None:
        return damage("invalid_record", start)
    is_page = content.kind in ("response", "resource") and content.media_type in HTML_TYPES
    if not is_page and content.kind != "conversion":
        notes.counts[f"warc_{content.kind}"] += 1
        return None
    if content.problems:
        return damage("bad_digest", f"{content.url}: {content.problems}")
    if content.kind == "response" and not content.status.startswith("2"):
        return damage("http_status", f"{content.status}: {content.url}", expected=True)
    if is_page:
        page = main_text(content.body, source.language, content.charset)
        if page.encoding:
            notes.encodings[page.encoding] += 1
        if page.rule:
            return damage(page.rule, f"{content.url}: {page.text}", page.expected)
        text = page.text
    else:
        decoded = decode(content.body, source.language)
        if decoded is None or ESCAPED.search(decoded[0]):
            return damage("undecodable_text", f"{content.url}: {content.body[:100]!r}")
        text = decoded[0].replace("\r\n", "\n")
        notes.encodings[decoded[1]] += 1
        if not text.strip():
            return damage("empty_text", f"{content.url}")
    meta = {"file": name, "date": content.date}
    return make_document(source.name, source.language, locator, text, url=content.url, meta=meta)


def parse(data: bytes, limit: int) -> Content | None:
    """One record by warcio, with chunked and compressed bodies undone and digests checked; None where it is no record."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    try:
        with closing(ArchiveIterator(io.BytesIO(data), arc2warc=True, check_digests=True)) as records:
            record = next(records)
            body = record.content_stream().read(limit)
            records.read_to_end(record)  # digests are known once every byte was read
            http = record.http_headers
            header = record.rec_headers.get_header
            stated = (http.get_header("Content-Type") if http else None) or (header("Content-Type") if not http else "")
            checker = record.digest_checker
            return Content(
                kind=record.rec_type,
                media_type=(stated or "").partition(";")[0].strip().lower(),
                charset=_charset(stated or ""),
                status=(http.get_statuscode() or "") if http else "",
                body=body,
                url=header("WARC-Target-URI"),
                date=header("WARC-Date"),
                problems="; ".join(checker.problems) if checker and checker.passed is False else "",
            )
    except (
        ArchiveLoadFailed,
        StopIteration,
        ValueError,
        EOFError,
        OSError,
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
    ):
        return None  # warcio's parser shows damaged headers by any of these


def _charset(content_type: str) -> str | None:
    lowered = content_type.lower()
    return lowered.partition(CHARSET)[2].partition(";")[0].strip(" \"'") or None if CHARSET in lowered else None
