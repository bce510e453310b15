"""What can be asked of one documentation string: questions whose answer the text itself supports."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import docstring_parser

from lifecycle.instructions.prompts import KINDS, Task

EXCERPT_CHARACTERS = 480
SHORT_EXCERPT_CHARACTERS = 240
ANSWER_CHARACTERS = 200
MIN_SUMMARY_REST = 80
SECTION = re.compile(
    r"^\s*(Parameters|Returns?|Yields?|Raises|Args|Arguments|Other Parameters)\s*(:|\n\s*-{3,})|^\s*:\w+", re.MULTILINE
)
SENTENCE_END = re.compile(r"(?<=[a-z0-9)`\"'\]])[.!?](?=\s+[A-Z`(\[*]|\s*$)|(?<=[。！？])")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|al|approx|Fig|Eq|No)|\b[A-Z])\.$")
FIRST_WORD = re.compile(r"([A-Za-z][A-Za-z'-]+)(?=[\s,;]|\.\s)")
DEPRECATION = re.compile("deprecat", re.IGNORECASE)
OBJECT_DEPRECATED = re.compile(
    r"^(?:\.\. deprecated::|[*_`\"]*deprecated\b(?!\()"
    r"|(?!.*\b(?:arguments?|parameters?|keywords?|option)\b)\S.*"
    r"\b(?:is|are|was|been|now|function|class|method|module) deprecated\b)",
    re.IGNORECASE | re.MULTILINE,
)
"""A line at the margin that calls the object itself deprecated, not one of its parameters."""
FIELD_ENTRY = re.compile(r"^\W*\w+ ?(?:\(|:\s)|^\w+#\d+|^[a-z_]+ ")
"""What opens like an entry of a parameter list or an issue number is no summary."""
BULLET = re.compile(r"^[*+-]\s+")
GARBAGE = re.compile(r"^[\W_]+$")


@dataclass(frozen=True)
class DocumentedObject:
    """One `python_docs` document with its `meta` read."""

    id: str
    group: str
    source: str
    language: str | None
    text: str
    module: str
    qualname: str
    kind: str
    signature: str | None
    deprecated: bool

    @property
    def name(self) -> str:
        """How a question names the object: `qualname` of `module`, or the module itself."""
        return f"`{self.qualname}`" if self.qualname else f"`{self.module}`"


@dataclass(frozen=True)
class Question:
    """One question about an object: the excerpt it shows, what is asked, and the answer that the excerpt supports."""

    task: Task
    text: str
    answer: str
    name: str
    item: str = ""


def documented_object(document: dict[str, Any]) -> DocumentedObject | None:
    """The object that a document row describes, or None where its `meta` names none (text of another kind)."""
    meta = json.loads(document["meta"] or "{}")
    if "kind" not in meta or "module" not in meta:
        return None
    return DocumentedObject(
        id=document["id"],
        group=document["group"],
        source=document["source"],
        language=document["lang"],
        text=document["text"].strip(),
        module=meta["module"],
        qualname=meta.get("qualname") or "",
        kind=meta["kind"],
        signature=meta.get("signature"),
        deprecated=bool(meta.get("deprecated")),
    )


def ask(task: Task, thing: DocumentedObject) -> Iterator[Question]:
    """The questions of `task` that the documentation of `thing` can answer; often none."""
    yield from _ASKERS[task](thing)


def excerpt(text: str, limit: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of `text`, at most `limit` characters, cut after a sentence, else a line, else a word."""
    text = text.strip()
    if len(text) <= limit:
        return text
    cut = text[:limit]
    ends = [match.end() for match in SENTENCE_END.finditer(cut[:-1]) if match.end() > limit // 2]
    for position in (ends[-1] if ends else -1, cut.rfind("\n"), cut.rfind(" ")):
        if position > limit // 3:
            return cut[:position].rstrip()
    return cut


def first_sentence(text: str, limit: int = ANSWER_CHARACTERS) -> str | None:
    """The first sentence of the first paragraph on one line, or None where it is missing, unfinished or too long."""
    paragraph = re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    line = BULLET.sub("", " ".join(paragraph.split()))
    for match in SENTENCE_END.finditer(line):
        if not ABBREVIATION.search(line[: match.end()]):
            line = line[: match.end()]
            break
    if not 3 <= len(line) <= limit or GARBAGE.match(line) or line.endswith((":", ",", "(", "-")):
        return None
    return line


def _kind(thing: DocumentedObject) -> Iterator[Question]:
    if thing.kind in KINDS:
        yield Question("kind", excerpt(thing.text), thing.kind, thing.name)


def _first_word(thing: DocumentedObject) -> Iterator[Question]:
    match = FIRST_WORD.match(thing.text)
    if match:
        yield Question("first_word", excerpt(thing.text, SHORT_EXCERPT_CHARACTERS), match.group(1), thing.name)


def _summary(thing: DocumentedObject) -> Iterator[Question]:
    sentence = first_sentence(thing.text)
    paragraph, _, rest = thing.text.partition("\n\n")
    if not sentence or len(sentence) < 15 or not sentence.endswith((".", "。")) or SECTION.match(paragraph):
        return
    if FIELD_ENTRY.match(sentence):
        return
    flat = " ".join(paragraph.split())
    remainder = flat[len(sentence) :].strip()
    rest = f"{remainder}\n\n{rest}".strip()
    if len(rest) < MIN_SUMMARY_REST or sentence in " ".join(rest.split()):
        return
    head = (
        f"{thing.qualname.rpartition('.')[2]}{_one_line(thing.signature)}\n\n" if thing.signature and thing.qualname else ""
    )
    yield Question("summary", head + excerpt(rest, EXCERPT_CHARACTERS - len(head)), sentence, thing.name)


def _parameter(thing: DocumentedObject) -> Iterator[Question]:
    parsed = _parse(thing.text)
    if parsed is None:
        return
    entries = []
    for entry in parsed.params:
        meaning = first_sentence(entry.description or "")
        if meaning and len(meaning) >= 8 and re.fullmatch(r"\*{0,2}\w+(, \*{0,2}\w+)*", entry.arg_name):
            kind = f" ({entry.type_name})" if entry.type_name and len(entry.type_name) < 40 else ""
            entries.append((entry.arg_name, f"{entry.arg_name}{kind}: {meaning}", meaning))
    for index, (name, _, meaning) in enumerate(entries):
        yield Question("parameter", _window([line for _, line, _ in entries], index), meaning, thing.name, f"`{name}`")


def _window(lines: list[str], index: int) -> str:
    """Line `index` with its neighbours: one before it and two after, as far as the excerpt's length allows."""
    first, end = index, index + 1
    for before, after in ((0, 1), (1, 0), (0, 1)):
        wider = lines[max(0, first - before) : end + after]
        if sum(map(len, wider)) <= EXCERPT_CHARACTERS:
            first, end = max(0, first - before), min(len(lines), end + after)
    return "\n".join(lines[first:end])


def _returns(thing: DocumentedObject) -> Iterator[Question]:
    parsed = _parse(thing.text)
    if parsed is None or parsed.returns is None:
        return
    described = parsed.returns
    meaning = first_sentence(described.description or "")
    opening = first_sentence(thing.text)
    if not meaning or len(meaning) < 8 or not opening or SECTION.match(opening):
        return
    label = ", ".join(part for part in (described.return_name, described.type_name) if part and len(part) < 60)
    section = f"Returns: {label}\n{meaning}" if label else f"Returns: {meaning}"
    yield Question("returns", f"{opening}\n\n{section}", meaning, thing.name)


def _raises(thing: DocumentedObject) -> Iterator[Question]:
    parsed = _parse(thing.text)
    opening = first_sentence(thing.text)
    if parsed is None or not parsed.raises or not opening or SECTION.match(opening):
        return
    errors = []
    for entry in parsed.raises:
        meaning = first_sentence(entry.description or "")
        if meaning and entry.type_name and re.fullmatch(r"[\w.]+", entry.type_name):
            errors.append(f"{entry.type_name}: {meaning}")
    answer = "\n".join(errors[:2])
    if errors and len(answer) <= ANSWER_CHARACTERS:
        yield Question("raises", f"{opening}\n\nRaises:\n{answer}", answer, thing.name)


def _deprecated(thing: DocumentedObject) -> Iterator[Question]:
    mentioned = DEPRECATION.search(thing.text)
    note = OBJECT_DEPRECATED.search(thing.text) if mentioned else None
    if thing.deprecated and note:
        # The excerpt must show the note that the answer rests on.
        shown = excerpt(thing.text[0 if note.end() < SHORT_EXCERPT_CHARACTERS else note.start() :])
        if OBJECT_DEPRECATED.search(shown):
            yield Question("deprecated", shown, "yes", thing.name)
    elif not thing.deprecated and not mentioned:
        yield Question("deprecated", excerpt(thing.text), "no", thing.name)


_ASKERS = {
    "kind": _kind,
    "first_word": _first_word,
    "summary": _summary,
    "parameter": _parameter,
    "returns": _returns,
    "raises": _raises,
    "deprecated": _deprecated,
}


@lru_cache(maxsize=64)
def _parse(text: str) -> docstring_parser.Docstring | None:
    """The sections of a documentation string, or None where it has none or they are malformed."""
    if not SECTION.search(text):
        return None
    try:
        return docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return None


def _one_line(signature: str | None) -> str:
    flat = " ".join((signature or "").split())
    return flat if len(flat) <= 120 else flat[:117].rsplit(",", 1)[0] + ", …)"
