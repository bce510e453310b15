"""Repairs that change how a text is written, never what it says. Line structure, Markdown, LaTeX and code survive."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import cycle, islice

import numpy as np

from lifecycle.curation.back_matter import contents_head, references_tail
from lifecycle.curation.boilerplate import advert_sentences, broken_edges
from lifecycle.curation.enclosed_numbers import enclosed_numbers
from lifecycle.curation.html_remnants import html_remnants
from lifecycle.curation.look_alikes import look_alikes
from lifecycle.curation.mojibake import mojibake
from lifecycle.curation.pii import personal_data
from lifecycle.curation.repeated_lines import Hashes, without_lines
from lifecycle.curation.screen import (
    ALIKE,
    CONTROL,
    FORM,
    FULL_WIDTH,
    HAN,
    MARKUP,
    MOJIBAKE,
    WHITE,
    flags_of,
    screen_table,
    tidy,
)
from lifecycle.recipe.corpora import CurationConfig

LINE_ENDS = ("\r\n", *"\r\x0b\x0c\x85\u2028\u2029")
CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
JOINERS = re.compile(
    "(?<![\u0600-\u08ff\u0900-\u0fff\u1000-\u109f\u1780-\u18af\u200d\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
"""Joiners (U+200C, U+200D) mean something after Arabic, Indic and Mongolian letters and inside emoji; nowhere else."""
WIDE_FORMS = re.compile("[\uff02-\uff07\uff0a\uff0b\uff0d\uff0f-\uff19\uff1c-\uff1e\uff20-\uff3a\uff3c\uff3e-\uff5a\uff5c]")
"""Letters, digits and signs of ASCII. Not ， ． ！ ？ ： ； （ ） ［ ］ ｛ ｝ ～: with these Chinese is punctuated."""
TO_HALF_WIDTH = 0xFEE0

Repair = Callable[[str], str]
Change = Callable[[str], Iterator[tuple[str, str]]]
"""Every change that a rule makes, as (its name in the ledger, text after it)."""
Step = tuple[int, Change]
"""What must have been seen in a text for a rule to change it, and the rule."""
ALWAYS = 1 << 15
"""Seen in every text: for the rules that look for themselves."""
ROUNDS = 8
"""How often the rules run over one text at most. Real text needs two rounds, rarely three."""


def canonical_form(text: str) -> str:
    """Unicode NFC: one sequence of code points for one appearance."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def control_characters(text: str) -> str:
    """Remove control and zero-width characters. Every kind of line end becomes a newline; newlines and tabs stay."""
    for end in LINE_ENDS:
        text = text.replace(end, "\n")
    if "\u200c" in text or "\u200d" in text:
        text = JOINERS.sub("", text)
    return CONTROL_CHARACTERS.sub("", text)


def full_width(text: str) -> str:
    """Full-width letters, digits and signs become those of ASCII; Chinese punctuation stays as it is."""
    return WIDE_FORMS.sub(lambda match: chr(ord(match.group()) - TO_HALF_WIDTH), text)


def white_space(text: str) -> str:
    """One kind of space, none at line ends, at most two blank lines in a row, none around the document.

    Indentation, the first line's too, and runs of spaces within a line stay: they are the structure of code and tables.
    """
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    out = np.empty(data.size, np.uint8)
    size = tidy(data, 0, data.size, screen_table(), out, 0)
    return out[:size].tobytes().decode("utf-8", "surrogatepass")


@cache
def _simplifier() -> Repair:
    import opencc

    return opencc.OpenCC("t2s").convert


def traditional_to_simplified(text: str) -> str:
    """Traditional Chinese characters become simplified ones (OpenCC t2s)."""
    return _simplifier()(text)


def repairs(config: CurationConfig) -> tuple[Repair, ...]:
    """The repairs in the order in which they run; each one's name is its rule in the ledger.

    HTML goes before white space, as tags leave line ends; NFC before look-alikes, as these are single letters.
    """
    first = (mojibake, html_remnants) if config.html_remnants else (mojibake,)
    always = (*first, canonical_form, control_characters, full_width, enclosed_numbers, look_alikes, white_space)
    return (*always, traditional_to_simplified) if config.traditional_to_simplified else always


NEEDED: dict[Repair, int] = {
    mojibake: MOJIBAKE | CONTROL,
    html_remnants: MARKUP,
    canonical_form: FORM,
    control_characters: CONTROL,
    full_width: FULL_WIDTH,
    enclosed_numbers: FULL_WIDTH,
    look_alikes: ALIKE,
    white_space: WHITE,
    traditional_to_simplified: HAN,
}
"""What `screen` has seen in every text that the repair would change: without it, the repair need not run."""


def repaired(config: CurationConfig, text: str) -> str:
    """`text` after all repairs: what the rules for boilerplate see, and what lines are counted on."""
    for _, after in _settled(text, list(_repairs(config))):
        text = after
    return text


def normalise(text: str, config: CurationConfig, repeated: Hashes = frozenset()) -> Iterator[tuple[str, str]]:
    """Every rule that changed the text, once, as (rule, text after it), the last with the final text; see `steps`."""
    changes: dict[str, str] = {}
    final = text
    for rule, final in steps(text, config, repeated):
        changes.setdefault(rule, final)
    for number, (rule, after) in enumerate(changes.items(), 1):
        yield rule, final if number == len(changes) else after


def normalised(text: str, config: CurationConfig, repeated: Hashes = frozenset()) -> str:
    """`text` after every change."""
    for _, after in steps(text, config, repeated):
        text = after
    return text


def steps(text: str, config: CurationConfig, repeated: Hashes = frozenset()) -> Iterator[tuple[str, str]]:
    """Every change as it is made, as (rule, text after it): repairs, then boilerplate, then personal data; nothing for a
    clean text.

    What one rule leaves may show another one something new (a tag taken out between two halves of an entity), so they run
    in turn until none of them changes anything: cleaning a cleaned text changes nothing.

    Args:
        repeated: the source's repeated lines, where the recipe asks for their removal.
    """
    return _settled(text, [*_repairs(config), *((ALWAYS, change) for change in _removals(config, repeated))])


def _settled(text: str, steps: list[Step]) -> Iterator[tuple[str, str]]:
    seen, quiet = flags_of(text) | ALWAYS, 0
    for needed, change in islice(cycle(steps), ROUNDS * len(steps)):
        quiet += 1
        if seen & needed:
            before = text
            for rule, after in change(text):
                yield rule, after
                text, quiet = after, 0
            if text is not before:
                seen = flags_of(text) | ALWAYS
        if quiet == len(steps):  # a clean text has been through each rule once, and no more
            return


def _repairs(config: CurationConfig) -> Iterator[Step]:
    for repair in repairs(config):
        yield NEEDED[repair], _once(repair.__name__, repair)


def _removals(config: CurationConfig, repeated: Hashes) -> Iterator[Change]:
    if config.repeated_lines:
        yield _once("repeated_lines", _tidy(partial(without_lines, repeated=repeated, config=config.repeated_lines)))
    if config.boilerplate:
        if config.boilerplate.trim_contents:
            yield _once("contents_head", _tidy(partial(contents_head, config=config.boilerplate)))
        if config.boilerplate.trim_references:
            yield _once("references_tail", _tidy(partial(references_tail, config=config.boilerplate)))
        yield _once("advert_sentences", _tidy(partial(advert_sentences, config=config.boilerplate)))
        if config.boilerplate.trim_broken:
            yield _once("broken_edges", _tidy(broken_edges))
    if config.pii:
        yield partial(personal_data, kinds=config.pii.kinds)


def _once(rule: str, repair: Repair) -> Change:
    def change(text: str) -> Iterator[tuple[str, str]]:
        after = repair(text)
        if after != text:
            yield rule, after

    return change


def _tidy(rule: Repair) -> Repair:
    """`rule`, and the blank lines and spaces that it leaves at line ends: one change of one name in the ledger."""
    return lambda text: text if (after := rule(text)) == text else white_space(after)
