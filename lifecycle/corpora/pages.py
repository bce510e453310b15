"""One web page: its characters and its main text."""

import codecs
import re
from dataclasses import dataclass

from lifecycle.corpora.encodings import BYTE_ORDER_MARKS, EAST_ASIAN, WIDE, detect_encoding

HEAD_BYTES = 16_384
META_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,500}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I
)
AS_BROWSERS_READ_IT = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
"""What pages mean by a name (WHATWG Encoding Standard); a page whose `meta` could be read is not UTF-16."""
WEB_ENCODINGS = re.compile(
    r"utf-8|gb18030|big5hkscs|euc_jp|cp932|iso2022_jp|cp949|koi8-[ru]|cp125[0-8]|cp874|cp866|iso8859-\d+|mac-(roman|cyrillic)"
)
MAX_BROKEN_SHARE = 0.005
"""Undecodable bytes up to which a page keeps its encoding; they become U+FFFD as in a browser."""

MAX_DEPTH = 1_500
"""Nested elements; parsing takes time with the square of the depth, browsers stop at 512."""
TAGS = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
# fmt: off
NOT_NESTING = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "dd", "dt", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot", "rb", "rt", "rp",
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "html", "head", "body",
})
# fmt: on
"""Void elements, those that the next of their kind closes, and those that parsers never nest deeply."""
MAX_TAGS = 400_000
MAX_HTML_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class Page:
    """The main text of a page and the encoding in which the page was read; or the rule under which it is dropped."""

    text: str
    encoding: str | None
    rule: str | None = None
    expected: bool = False


def main_text(data: bytes, language: str, declared: str | None = None) -> Page:
    """What a reader of the page came for, without navigation, footers and scripts (resiliparse; Bevendorff et al. 2018).

    Rules: `undecodable_page`, `page_too_large`, `page_too_deep`, and, of sound pages, `no_main_text`.

    Args:
        declared: charset that the HTTP header names.
    """
    from resiliparse.extract.html2text import extract_plain_text

    decoded = decode_page(data, language, declared)
    if decoded is None:
        return Page(repr(data[:100]), None, "undecodable_page")
    html, encoding = decoded
    if len(html) > MAX_HTML_CHARACTERS or html.count("<") > MAX_TAGS:
        return Page(html[:300], encoding, "page_too_large")
    if _depth(html) > MAX_DEPTH:
        return Page(html[:300], encoding, "page_too_deep")
    text = extract_plain_text(html.replace("\0", ""), main_content=True, alt_texts=False, links=False, form_fields=False)
    text = text.strip()
    if not text:
        return Page(html[:300], encoding, "no_main_text", expected=True)
    return Page(text, encoding)


def decode_page(data: bytes, language: str, declared: str | None) -> tuple[str, str] | None:
    """The characters of a page and the encoding's name, or None for bytes that are no text.

    In order: a byte order mark; UTF-8 where the bytes are such (nothing else looks like it); an East Asian encoding that the
    characters speak for, whatever is declared; the `meta` element; the HTTP header (servers send a default that pages do
    not follow); what the bytes look like. A declaration that does not fit the bytes is passed over.
    """
    found = detect_encoding(data, language)
    marked = any(data.startswith(mark) for mark, _ in BYTE_ORDER_MARKS)
    if found and (marked or found == "utf-8" or found in (*EAST_ASIAN, *WIDE)):
        return data.decode(found, "replace"), found
    meta = META_CHARSET.search(data[:HEAD_BYTES])
    for name in (meta.group(1).decode("ascii") if meta else None, declared):
        encoding = _web_encoding(name)
        if encoding:
            text = data.decode(encoding, "replace")
            if text.count("\ufffd") <= MAX_BROKEN_SHARE * len(text):
                return text, encoding
    return None if found is None else (data.decode(found, "replace"), found)


def _web_encoding(name: str | None) -> str | None:
    try:
        canonical = codecs.lookup(name).name if name else ""
    except (LookupError, ValueError):
        return None
    canonical = AS_BROWSERS_READ_IT.get(canonical, canonical)
    return canonical if WEB_ENCODINGS.fullmatch(canonical) else None


def _depth(html: str) -> int:
    """An upper bound of how deep the page's elements are nested."""
    if html.count("<") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for match in TAGS.finditer(html):
        if match.group(2).lower() in NOT_NESTING:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        deepest = max(deepest, depth)
    return deepest
