"""Rubrics: what a language model is asked when it judges. A YAML file with a text by language, and `$names` for places."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from lifecycle.errors import RecipeError

FALLBACK = "en"


@dataclass(frozen=True)
class Rubric:
    """Texts by ISO 639-1 code, `en` among them, which other languages take."""

    texts: dict[str, str]

    def message(self, language: str, **places: str) -> list[dict[str, str]]:
        """The rubric's text in this language as one user message; what the places are filled with is not read again."""
        text = self.texts.get(language, self.texts[FALLBACK])
        return [{"role": "user", "content": Template(text).safe_substitute(places)}]


def read_rubric(path: str | None, ours: Path, field: str, places: Collection[str]) -> Rubric:
    """The rubric of a recipe; None reads `ours`.

    Args:
        path: `$NAME`, `${NAME}` and `~` are taken from the environment.
        field: of the recipe, for messages.
        places: each text must have all of these.

    Raises:
        RecipeError: there is no such file, or a text lacks one of its places.
    """
    file = Path(os.path.expanduser(os.path.expandvars(path))) if path else ours
    try:
        texts = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{field}: cannot read {str(file)!r}: {error}") from error
    if not isinstance(texts, dict) or FALLBACK not in texts or not all(isinstance(text, str) for text in texts.values()):
        raise RecipeError(f"{field}: {file} must hold a text by language, `{FALLBACK}` among them")
    for language, text in texts.items():
        missing = sorted(set(places) - set(Template(text).get_identifiers()))
        if missing:
            raise RecipeError(f"{field}: {file}, field {language}: lacks {', '.join('$' + name for name in missing)}")
    return Rubric({str(language): text for language, text in texts.items()})
