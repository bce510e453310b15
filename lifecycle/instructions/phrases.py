"""The phrase files that ship with instruction cleaning, as one expression each."""

import re
from functools import cache
from pathlib import Path

from lifecycle.recipe.curation import list_entries

DIRECTORY = Path(__file__).parent / "phrases"


@cache
def any_of(*names: str) -> re.Pattern[str]:
    """Matches a phrase of these files, the longest that is there, in any case."""
    return re.compile(alternatives(*names), re.IGNORECASE)


@cache
def alternatives(*names: str) -> str:
    """The phrases of these files as a group of a regular expression, longest first; Latin ones are whole words."""
    entries = [entry for name in names for entry in list_entries(DIRECTORY / f"{name}.txt", f"phrases {name}")]
    return "(?:" + "|".join(_bounded(entry) for entry in sorted(set(entries), key=lambda e: (-len(e), e))) + ")"


def _bounded(entry: str) -> str:
    """Han characters have no word boundaries; Latin letters next to one are a word of their own."""
    left = r"(?<![A-Za-z0-9])" if entry[0].isascii() else ""
    right = r"(?![A-Za-z0-9])" if entry[-1].isascii() else ""
    return f"{left}{re.escape(entry)}{right}"
