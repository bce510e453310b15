"""Which parts of a text are code, where no repair of prose may reach."""

import re
from collections.abc import Iterator

OPENS = re.compile(r"`|~~~|<(?=pre\b|code\b)|(?<=\n\n)(?= {4}|\t)")
FENCE = re.compile(
    r"(?P<fence>`{3,}|~{3,})[^\n]*(?:\n.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)|\Z)", re.MULTILINE | re.DOTALL
)
"""An unclosed fence reaches to the end."""
INDENTED = re.compile(r"(?:(?: {4}|\t)[^\n]*(?:\n|\Z))+")
INLINE = re.compile(r"(?P<ticks>`{1,3})(?!`)[^\n`]{1,500}(?P=ticks)(?!`)|`+")
ELEMENT = re.compile(r"<(?P<tag>pre|code)\b[^<>]{0,500}>.*?(?:</(?P=tag)>|\Z)", re.DOTALL)
MAX_INDENT = 40


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The whole of `text` in order, as (is code, piece).

    Code is what Markdown and HTML mark as such: fenced blocks, blocks indented after a blank line, `code` within a line,
    <pre> and <code>.
    """
    done = place = 0
    first = INDENTED.match(text)
    if first:
        yield True, first.group()
        done = place = first.end()
    while opening := OPENS.search(text, place):
        code = _code(text, opening.start())
        if code is None:
            place = opening.end() if opening.end() > opening.start() else opening.start() + 1
            continue
        if code.group().strip("`"):
            if code.start() > done:
                yield False, text[done : code.start()]
            yield True, code.group()
            done = code.end()
        place = code.end()
    if done < len(text):
        yield False, text[done:]


def _code(text: str, place: int) -> re.Match[str] | None:
    """The code that begins at `place`, or a run of lonely back-ticks; None where there is neither."""
    character = text[place]
    if character in " \t":
        return INDENTED.match(text, place)
    if character == "<":
        return ELEMENT.match(text, place)
    before = text[max(0, place - MAX_INDENT) : place].rpartition("\n")[2]
    fence = FENCE.match(text, place) if not before.strip(" \t>") else None
    return fence or (INLINE.match(text, place) if character == "`" else None)
