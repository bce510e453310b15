"""What printed matter puts before and behind its text: a table of contents at the head, a list of references at the tail.

A heading of the lists in phrases/headings, or of the recipe's own, says where it may begin; the lines behind it decide.
"""

import re
from functools import cache
from typing import Literal

import re2

from lifecycle.curation.phrase_lists import PHRASES, any_phrase
from lifecycle.recipe.curation import BoilerplateConfig, ListFile, list_file

Kind = Literal["contents", "references"]

HEAD_LINES = 30
"""Lines, from the beginning, among which the heading of a table of contents may stand."""
MIN_ENTRIES = 3
ENTRY_CHARACTERS = 90
ENTRY = re.compile(
    r"""\s*(?:[-*+>|]\s*)*(?:
      .{1,80}?(?:[.…·．。_\-]\s?){3,}\s*\(?\d{0,4}\)?              # leaders, page
    | 第\s?[\d一二三四五六七八九十百零〇两]+\s?[章节節回部分篇编編卷集讲课条].{0,50}
    | (?i:(?:chapter|section|part|book|appendix|act)\s+[\divxlc]+)\b.{0,70}
    | \d{1,2}(?:\.\d{1,2}){0,3}[.、)）]?\s+\S.{0,60}
    | [一二三四五六七八九十]{1,3}[、.．]\s?\S.{0,50}
    | [（(][一二三四五六七八九十\d]{1,3}[)）]\s?\S.{0,50}
    | (?:\d+[.)]\s*)?\[[^\[\]]{1,80}\]\(\#[^()]*\)
    | \S.{0,60}(?:\s{2,}|\t)\d{1,4}
    )\s*\Z""",
    re.VERBOSE,
)
SENTENCE_END = re.compile(r"[。！？；!?;，,：:]\s*\Z|[a-z]{3}\.\s*\Z")
PAGE = re.compile(r"(?:[.…·．_\-\s]*\(?\d{1,4}\)?)?\s*\Z")
KEY = re.compile(r"[\W_]+")
LINK = re.compile(r"\]\(#[^()]*\)")

MAX_TAIL = 0.5
"""Share of the text that a list of references may have: a longer one is what the text is."""
MIN_REFERENCES = 0.7
"""Share of the lines behind the heading that must look like references."""
REFERENCE = re.compile(
    r"""\s*(?:[-*+>]\s+)?(?:
      [\[［【(（]\^?\d{1,3}[\]］】)）]
    | \[\^?[\w\-]{1,30}\]:?\s
    | \d{1,3}\s?[.．、)]\s*\S
    | \S.{10,}[\[［](?:[JMDCNPRSZ]|EB/OL|J/OL|M/OL)[\]］]
    | (?=.{15,400}\Z)\S.*\b(?:1[6-9]|20)\d\d\b.*(?:[.,;:]|。|，|《)
    | .{0,80}(?i:doi\s?:|https?://|arxiv:|isbn|retrieved\s|available\ at)
    )""",
    re.VERBOSE,
)
CONTINUED = re.compile(r"(?:\s{2,}|\t)\S")
FENCE = re.compile(r"\s*(?:```|~~~)")


def contents_head(text: str, config: BoilerplateConfig) -> str:
    """`text` without the table of contents at its head: its heading and the entries behind it, three at least.

    An entry that comes a second time is the heading of the first chapter: there the text begins.
    """
    heading = _heading("contents", config.contents_headings)
    if not heading.search(_bytes(text[: HEAD_LINES * 200])):
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines[:HEAD_LINES]):
        if FENCE.match(line):
            return text
        if heading.search(_bytes(line)):
            end = _contents_end(lines, number + 1)
            rest = "\n".join(lines[end:]).lstrip("\n")
            if end > number + 1 and len(rest.strip()) > len("\n".join(lines[number:end])):
                return "\n".join([*lines[:number], rest])
            return text
    return text


def references_tail(text: str, config: BoilerplateConfig) -> str:
    """`text` without the list of references at its end, where all that follows the heading is such a list."""
    heading = _heading("references", config.references_headings)
    if not heading.search(_bytes(text)):
        return text
    lines = text.split("\n")
    for number in range(len(lines) - 1, 0, -1):
        if heading.search(_bytes(lines[number])):
            tail = lines[number:]
            before = "\n".join(lines[:number])
            fenced = sum(FENCE.match(line) is not None for line in lines[:number]) % 2
            if fenced or not _are_references(tail[1:]) or not before.strip() or len("\n".join(tail)) > MAX_TAIL * len(text):
                return text
            return before.rstrip("\n")
    return text


def _contents_end(lines: list[str], begin: int) -> int:
    """The first line behind the entries; `begin` where there are too few."""
    seen: set[str] = set()
    end = begin
    for number in range(begin, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        key = KEY.sub("", PAGE.sub("", LINK.sub("", line))).casefold()
        if key in seen or len(line) > ENTRY_CHARACTERS or SENTENCE_END.search(line) or not ENTRY.match(line):
            break
        seen.add(key)
        end = number + 1
    return end if len(seen) >= MIN_ENTRIES else begin


def _are_references(lines: list[str]) -> bool:
    found = read = 0
    for line in lines:
        if FENCE.match(line) or line.lstrip().startswith("#"):
            return False
        if line.strip():
            read += 1
            found += bool(REFERENCE.match(line) or (found and CONTINUED.match(line)))
    return read > 0 and found >= MIN_REFERENCES * read


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _heading(kind: Kind, paths: tuple[str, ...]) -> "re2._Regexp":
    """A whole line that is such a heading, numbered or marked or not."""
    field = f"curation.boilerplate.{kind}_headings"
    return _pattern(kind, tuple(list_file(path, field) for path in paths), field)


@cache
def _pattern(kind: Kind, extra: tuple[ListFile, ...], field: str) -> "re2._Regexp":
    number = r"(?:[0-9一二三四五六七八九十]{1,3}(?:\.[0-9]+)*\s*[、.．]?\s*)?"
    before, behind = rf"(?im)^\s*(?:#{{1,6}}\s*)?[*_【\[]{{0,3}}{number}", r"[*_】\]]{0,3}\s*[:：]?\s*[*_]{0,3}\s*#*\s*$"
    phrases = any_phrase([PHRASES / "headings" / f"{kind}.txt"], extra, field)
    return re2.compile(f"{before}(?:{phrases}){behind}".encode())
