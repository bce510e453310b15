"""What a language model is asked when it compares two answers, and how its verdict is read."""

import os
import re
from pathlib import Path
from string import Template
from typing import Literal

import yaml

from lifecycle.errors import RecipeError

OURS = Path(__file__).parent / "rubric.yaml"
FIELD = "preferences.judges.rubric"
FALLBACK = "en"
NEEDED = {"question", "first", "second"}
VERDICT = re.compile(r"\[\[([ABC])\]\]")

Verdict = Literal["A", "B", "C"]
VERDICTS: dict[str, Verdict] = {"A": "A", "B": "B", "C": "C"}


def read_rubric(path: str | None) -> dict[str, str]:
    """The rubric's texts by ISO 639-1 code, one for English at least; None reads ours.

    Raises:
        RecipeError: there is no such file, or a text lacks one of its three places.
    """
    file = Path(os.path.expanduser(os.path.expandvars(path))) if path else OURS
    try:
        texts = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{FIELD}: cannot read {str(file)!r}: {error}") from error
    if not isinstance(texts, dict) or FALLBACK not in texts or not all(isinstance(text, str) for text in texts.values()):
        raise RecipeError(f"{FIELD}: {file} must hold a text by language, `en` among them")
    for language, text in texts.items():
        missing = sorted(NEEDED - set(Template(text).get_identifiers()))
        if missing:
            raise RecipeError(f"{FIELD}: {file}, field {language}: lacks {', '.join('$' + name for name in missing)}")
    return {str(language): text for language, text in texts.items()}


def comparison(rubric: dict[str, str], language: str, question: str, first: str, second: str) -> str:
    """The message that asks which of two answers is better, in the language of the question."""
    text = rubric.get(language, rubric[FALLBACK])
    return Template(text).safe_substitute(question=question, first=first, second=second)


def verdict(said: str) -> Verdict | None:
    """The last verdict in what the judge said; None where there is none."""
    found = VERDICT.findall(said)
    return VERDICTS[found[-1]] if found else None
