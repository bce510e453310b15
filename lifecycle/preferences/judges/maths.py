"""The number that an answer ends in: what counts as right in maths, in English and Chinese."""

import re
import unicodedata
from fractions import Fraction

GSM8K = re.compile(r"####\s*(.+)")
"""Cobbe et al. 2021: the line on which a solution gives its result."""
SAID = re.compile(
    r"\\boxed\{([^{}]*)\}|(?:\banswer(?:\s+is|\s*[:=])|(?:答案|结果|得数)(?:是|为|等于|[:=])*)\s*([^\n。;；]*)",
    re.IGNORECASE,
)
NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s*/\s*\d+)?")


def final_number(text: str) -> Fraction | None:
    """The number behind `####`, else the last one in a box or behind "the answer is" or 答案是, else the last of all.

    Full-width digits, thousands separators, units, signs of money and per cent do not count; None where there is no number.
    """
    text = unicodedata.normalize("NFKC", text)
    marked = GSM8K.findall(text)
    if marked:
        return _first(marked[-1])
    for said in reversed([next(filter(None, groups), "") for groups in SAID.findall(text)]):
        if (number := _last_of_equation(said)) is not None:
            return number
    found = NUMBER.findall(text)
    return _value(found[-1]) if found else None


def exact(answer: str, reference: str) -> bool | None:
    """Whether both end in the same number; None where the reference ends in none."""
    wanted = final_number(reference)
    return None if wanted is None else final_number(answer) == wanted


def in_gsm8k_form(reference: str) -> bool:
    """Whether a reference gives its result behind `####`."""
    marked = GSM8K.findall(unicodedata.normalize("NFKC", reference))
    return bool(marked) and _first(marked[-1]) is not None


def _first(text: str) -> Fraction | None:
    found = NUMBER.search(text)
    return _value(found.group()) if found else None


def _last_of_equation(said: str) -> Fraction | None:
    """The first number of what was said, or behind its last equals sign: "the answer is 3 + 4 = 7 apples"."""
    return _first(said.rsplit("=", 1)[-1])


def _value(number: str) -> Fraction | None:
    top, _, bottom = number.replace(",", "").replace("−", "-").replace(" ", "").partition("/")
    if bottom and not int(bottom):
        return None
    return Fraction(top) / (int(bottom) if bottom else 1)
