"""Which parts of a text are code, where no repair of prose may reach."""

import re
from collections.abc import Iterator

CODE = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}|~{3,})[^\n]*(?:\n.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)|\Z)"  # an unclosed fence: to the end
    r"|(?:(?<=\n\n)|\A)(?:(?: {4}|\t)[^\n]*(?:\n|\Z))+"  # indented, after a blank line
    r"|(?P<ticks>`{1,3})(?!`)[^\n`]{1,500}(?P=ticks)(?!`)"
    r"|<(?P<tag>pre|code)\b[^<>]{0,500}>.*?(?:</(?P=tag)>|\Z)",
    re.MULTILINE | re.DOTALL,
)


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The whole of `text` in order, as (is code, piece).

    Code is what Markdown and HTML mark as such: fenced and indented blocks, `code` within a line, <pre> and <code>.
    """
    begin = 0
    for match in CODE.finditer(text):
        if match.start() > begin:
            yield False, text[begin : match.start()]
        yield True, match.group()
        begin = match.end()
    if begin < len(text):
        yield False, text[begin:]
