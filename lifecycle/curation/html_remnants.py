"""What is left of HTML in text: entities and tags outside code. Off unless the recipe asks: prose about HTML loses by it."""

import html
import re
from html.entities import html5

import re2

from lifecycle.curation.markup import pieces

BLOCKS = (
    "address|article|aside|blockquote|body|br|center|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|"
    "html|li|main|nav|ol|option|p|section|select|table|tbody|td|tfoot|th|thead|title|tr|ul"
)
INLINE = "a|abbr|b|big|button|em|font|i|iframe|img|input|label|link|meta|noscript|s|small|span|strong|u"
"""Elements that leave their content. Not sub and sup (x<sup>2</sup> is not x2), nor kbd, pre, code, details."""

ATTRIBUTES = (
    r"(?:\s+(?:[a-z_:@][a-z0-9_:.\-]*\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+)"
    r"|disabled|checked|selected|async|defer|hidden|controls|allowfullscreen|nowrap|noshade|required|readonly))*"
)
"""Not any text up to `>`: the formula `0<j<i … P_i>0` once lost its middle as an element `<i …>`."""

TAGS = re2.compile(
    r"(?is)<!--.*?-->|<script\b[^<>]*>.*?</script\s*>|<style\b[^<>]*>.*?</style\s*>"
    rf"|([a-z0-9_:]?)<(/?)(?:({BLOCKS})|({INLINE}))({ATTRIBUTES}\s*/?)>".encode()
)
SUSPECT = re2.compile(rf"(?is)<!--|</?(?:script|style|{BLOCKS}|{INLINE})[\s/>]|&#?[a-z0-9]{{1,32}};".encode())
"""What the patterns here could find: most text with `<` or `&` has none, and need not be split into code and prose."""
AND = r"&(?:(?:amp|#0*38|#[xX]0*26);)*"
"""An ampersand, escaped any number of times."""
ENTITY = re.compile(
    rf"{AND}lt;[/!?]?[A-Za-z][^<>\n]{{0,200}}?{AND}gt;"
    rf"|{AND}(?P<name>#\d{{1,7}}|#[xX][0-9a-fA-F]{{1,6}}|[A-Za-z][A-Za-z0-9]{{1,31}});"
)
OPENING = re.compile(r"[A-Za-z/!?]")
NEARBY = 500
"""Bytes around a tag that are looked at: a line may be as long as the document."""
ROUNDS = 4
"""Repaired text may show another remnant (`&lt;` + `br>`); text that needs more rounds was made to be a riddle."""


def html_remnants(text: str) -> str:
    """Entities become their characters; tags go, those of blocks leave a line end; comments, scripts and styles go whole.

    Code stays as it is, and so does an entity that would make a tag or a code mark of text (`&lt;div&gt;`, `&#96;`).
    """
    if "<" not in text and "&" not in text:
        return text
    repaired = text
    for _ in range(ROUNDS):
        if not SUSPECT.search(repaired.encode("utf-8", "surrogatepass")):
            return repaired
        again = "".join(piece if is_code else _without(piece) for is_code, piece in pieces(repaired))
        if again == repaired:
            return repaired
        repaired = again
    return text


def _without(prose: str) -> str:
    if "&" in prose:
        prose = ENTITY.sub(_character, prose)
    if "<" not in prose:
        return prose
    data = prose.encode("utf-8", "surrogatepass")
    return "".join(part.decode("utf-8", "surrogatepass") for part in _untagged(data))


def _character(match: re.Match[str]) -> str:
    name = match["name"]
    if name is None or (name[0] != "#" and f"{name};" not in html5):
        return match.group()
    character = html.unescape(f"&{name};")
    makes_tag = character == "<" and OPENING.match(match.string, match.end())
    if makes_tag or character in "`~" or (not character.isprintable() and character != "\u00a0"):
        return match.group()
    return character


def _untagged(data: bytes) -> list[bytes]:
    parts, begin = [], 0
    for match in TAGS.finditer(data):
        parts += [data[begin : match.start()], _instead(match, data)]
        begin = match.end()
    return [*parts, data[begin:]]


def _instead(match: "re2._Match", data: bytes) -> bytes:
    before, close, block, inline, rest = (match[number] or b"" for number in range(1, 6))
    if not block and not inline:
        return b""
    name = block or inline
    bare = not close and not rest.strip()
    closing = b"</" + name
    if len(name) == 1 and bare and before and data.find(closing, match.end(), match.end() + NEARBY) < 0:
        return data[match.start() : match.end()]  # Vec<p>, Option<a>: parameters of types
    if inline:
        return before
    start = match.start()
    line = data[max(0, start - NEARBY) : start].rpartition(b"\n")[2].lstrip()
    if line.startswith(b"|"):
        return before + b" "  # a line end would break the row of a Markdown table
    at_edge = (not line and not before) or data[match.end() : match.end() + 1] in (b"", b"\n")
    return before if at_edge else before + b"\n"
