"""The commands of the documents, as a reader would copy them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.graph_home import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(lifecycle [a-z][^`]*)`")


def commands(path: Path) -> Iterator[str]:
    """Every command of a page: the lines of its blocks, and what stands in a sentence."""
    text = path.read_text(encoding="utf-8")
    for block in BLOCK.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from INLINE.findall(text)


def words(line: str) -> list[str]:
    """The words of a command, variables before it among them, without the comment behind it."""
    return shlex.split(re.sub(r"\[(--\w+)\]", r"\1", line), comments=True)


def without_variables(command: list[str]) -> list[str]:
    """A command without what is set before it."""
    while command and re.match(r"^[A-Z_]+=", command[0]):
        command = command[1:]
    return command
