"""The phrase files that ship with instruction cleaning."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from lifecycle.curation.blocklists import automaton_of, count_hits
from lifecycle.recipe.curation import list_entries, list_file

DIRECTORY = Path(__file__).parent / "phrases"
FIELD = "phrases of lifecycle.instructions"


def holds(text: str, *names: str) -> bool:
    """Whether a phrase of one of these files stands in the text, in any case; Latin ones as whole words."""
    folded = text.lower()
    return any(count_hits(_automaton(name), folded)[0] for name in names)


@cache
def alternatives(*names: str) -> str:
    """The phrases of these files as a group of a regular expression, longest first; Latin ones are whole words."""
    entries = [entry for name in names for entry in list_entries(Path(_path(name)), FIELD)]
    return "(?:" + "|".join(_bounded(entry) for entry in sorted(set(entries), key=lambda e: (-len(e), e))) + ")"


@cache
def _automaton(name: str) -> Any:
    return automaton_of(list_file(_path(name), FIELD), FIELD)


def _path(name: str) -> str:
    return str(DIRECTORY / f"{name}.txt")


def _bounded(entry: str) -> str:
    """Han characters have no word boundaries; Latin letters next to one are a word of their own."""
    left = r"(?<![A-Za-z0-9])" if entry[0].isascii() else ""
    right = r"(?![A-Za-z0-9])" if entry[-1].isascii() else ""
    return f"{left}{re.escape(entry)}{right}"
