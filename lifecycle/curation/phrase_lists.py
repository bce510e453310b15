"""Lists of phrases as one regular expression: those that ship, and those that a recipe names."""

from collections.abc import Iterable
from pathlib import Path

import re2

from lifecycle.errors import RecipeError
from lifecycle.recipe.curation import ListFile, list_entries

PHRASES = Path(__file__).parent / "phrases"


def any_phrase(shipped: Iterable[Path], extra: Iterable[ListFile], field: str) -> str:
    """The source of a regular expression (RE2) that every entry of the files matches, as it is or, behind `re:`, as one.

    Raises:
        RecipeError: an entry is no regular expression; `field` is the recipe's that names the extra files.
    """
    forms = []
    for path in (*shipped, *(file.path for file in extra)):
        for entry in list_entries(path, field):
            form = entry[3:].strip() if entry.startswith("re:") else re2.escape(entry)
            try:
                re2.compile(form)
            except re2.error as error:
                raise RecipeError(f"{field}: {path}: {entry!r} is no regular expression of RE2 ({error})") from error
            forms.append(f"(?:{form})")
    return "|".join(forms)
