"""Adverts, contacts and platform sentences around a text, and sentences that are cut off at its edges.

From both sides the sentences are walked inwards until enough clean ones stand in a row (the seed's rule: five); those with a
phrase of the lists go. In the middle of a text the same words are its subject as often as an advert.
"""

import re
from functools import cache

import re2

from lifecycle.curation.markup import pieces
from lifecycle.curation.phrase_lists import PHRASES, any_phrase
from lifecycle.recipe.curation import BoilerplateConfig, ListFile, list_file

FIELD = "curation.boilerplate.phrases"
SENTENCE = re.compile(  # where a line has no stop, it is one sentence
    r"[^\n]+?(?:[。！？；…]+[”’\"')）】」』]*|[.!?]+[\"')\]]*(?=\s|[^\x00-\x7f])|(?=\n)|\Z)\s*"
    r"|\s+"
)
ROUNDS = 8
"""A fence may begin a line only when the sentence before it is gone; then the rest is looked at once more."""
COMPLETE = re.compile(r"(?:[。！？!?；…]|[a-z]{3}\.)[”’\"')\]）】」』]*\s*\Z")
"""Of a full stop in Latin script only behind a word: not behind initials and numbers."""
CONTINUES = re.compile(r"\s*[，。、；：！？,;）】」』》]")
CUT = re.compile(r"[\w，、,]\s*\Z")
LIST_ITEM = re.compile(r"\s*(?:[-*+>|#\[]|\d+[.、)])")


def advert_sentences(text: str, config: BoilerplateConfig) -> str:
    """`text` without the sentences of its head and tail that hold a phrase of the lists; code is never touched."""
    pattern = _pattern(tuple(list_file(path, FIELD) for path in config.phrases))
    for _ in range(ROUNDS):
        if not pattern.search(text.encode("utf-8", "surrogatepass")):
            break
        after = _trimmed(text, pattern, config)
        if after == text:
            break
        text = after
    return text


def _trimmed(text: str, pattern: "re2._Regexp", config: BoilerplateConfig) -> str:
    units = [
        (False, piece) if is_code else (True, unit) for is_code, piece in pieces(text) for unit in _units(is_code, piece)
    ]
    flags = [prose and _is_advert(unit, pattern, config) for prose, unit in units]
    size = len(units)
    dropped = {*_walk(flags, range(size), config), *_walk(flags, range(size - 1, -1, -1), config)}
    kept: list[str] = []
    for number, (_, unit) in enumerate(units):
        if number not in dropped:
            kept.append(unit)
        elif kept and not kept[-1][-1].isspace() and unit[-1].isspace():
            kept.append(unit[len(unit.rstrip()) :])  # the line end stays where only a part of the line goes
    return "".join(kept) if dropped else text


def broken_edges(text: str) -> str:
    """`text` without a first sentence that begins in its middle or a last one that does not end.

    Only in a line with a whole sentence beside it: a heading, a line of code or a verse has no full stop either.
    """
    begin = _head_end(text)
    end = _tail_begin(text, begin)
    return text[begin:end] if end > begin else text


def _units(is_code: bool, piece: str) -> list[str]:
    return [piece] if is_code else SENTENCE.findall(piece)


def _walk(flags: list[bool], places: range, config: BoilerplateConfig) -> list[int]:
    found, clean = [], 0
    for place in places:
        if flags[place]:
            found.append(place)
            clean = 0
        else:
            clean += 1
            if clean == config.clean_sentences:
                break
    return found


def _is_advert(sentence: str, pattern: "re2._Regexp", config: BoilerplateConfig) -> bool:
    bare = sentence.strip()
    return len(bare) <= config.max_sentence and pattern.search(bare.encode("utf-8", "surrogatepass")) is not None


@cache
def _pattern(extra: tuple[ListFile, ...]) -> "re2._Regexp":
    return re2.compile(f"(?im){any_phrase(sorted(PHRASES.glob('*.txt')), extra, FIELD)}".encode())


def _head_end(text: str) -> int:
    """Where the first whole sentence begins."""
    line_end = text.find("\n")
    line = text if line_end < 0 else text[:line_end]
    begin = 0
    while CONTINUES.match(line, begin) and (match := SENTENCE.match(line, begin)) and match.end() < len(line):
        begin = match.end()
    return begin


def _tail_begin(text: str, begin: int) -> int:
    """Where the last whole sentence ends; the end of the text where nothing is cut off."""
    start = max(begin, text.rfind("\n") + 1)
    line = text[start:]
    if LIST_ITEM.match(line) or not CUT.search(line) or any(is_code for is_code, _ in pieces(line)):
        return len(text)
    units = SENTENCE.findall(line)
    if len(units) < 2 or not COMPLETE.search(units[-2]):
        return len(text)
    return len(text) - len(units[-1]) - (len(units[-2]) - len(units[-2].rstrip()))
