"""Look-alike letters: Greek and Cyrillic ones inside Latin words, Latin ones inside Cyrillic and Greek words."""

import re

import re2

NEIGHBOURS = re2.compile("[A-Za-z][Ͱ-ӿ]|[Ͱ-ӿ][A-Za-z]".encode())
ODD = re.compile("[\u0370-\u04ff]+")
LETTER = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u04ff]")
SHORTEST = 3
"""Letters of a word that can be told to be in one script."""
LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
PLAIN = re.compile("[A-Z]+")

CYRILLIC = dict(zip("аеорсухіјѕАВЕЗКМНОРСТУХІЈЅ", "aeopcyxijsABE3KMHOPCTYXIJS", strict=True))
CYRILLIC.pop("З")  # a digit is no letter of a word
GREEK = dict(zip("οΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oABEZHIKMNOPTYX", strict=True))
"""Letters that no reader can tell apart. α, ν, ρ, μ, Δ are not here: formulas and units write them on purpose."""
SCRIPTS = (CYRILLIC, GREEK)


def look_alikes(text: str) -> str:
    """One script for each word, where every letter of the other script only looks like one of it.

    A word changes when its letters of one script all have a double in the other and some letter there has none, so that
    it can only be a word of that other script: `pаypal` with a Cyrillic а, `прoдажа` with a Latin o. Words that mix
    scripts on purpose (`Δx`, `SQLа`, `TeΧt` in capitals alone) stay, and so do words of one script.
    """
    if text.isascii() or not NEIGHBOURS.search(text.encode("utf-8", "surrogatepass")):
        return text
    parts, done = [], 0
    for match in ODD.finditer(text):
        if match.start() < done:
            continue
        begin, end = match.span()
        while begin > done and LETTER.match(text, begin - 1):
            begin -= 1
        while end < len(text) and LETTER.match(text, end):
            end += 1
        word = text[begin:end]
        parts += [text[done:begin], _one_script(word) if len(word) >= SHORTEST else word]
        done = end
    return "".join([*parts, text[done:]])


def _one_script(word: str) -> str:
    latin = LATIN.findall(word)
    others = [letter for letter in word if not LATIN.match(letter)]
    if not latin or not others:
        return word
    for doubles in SCRIPTS:
        back = {ascii_letter: letter for letter, ascii_letter in doubles.items()}
        if all(letter in doubles for letter in others) and any(letter not in back for letter in latin):
            return word if _inflected(word) else "".join(doubles.get(letter, letter) for letter in word)
        own = [letter for letter in others if letter not in doubles]
        if own and all(_in_block(letter, doubles) for letter in others) and all(letter in back for letter in latin):
            return "".join(back.get(letter, letter) for letter in word)
    return word


def _inflected(word: str) -> bool:
    """An abbreviation in Latin capitals with a Cyrillic or Greek ending: `SQLа` is how Russian declines it."""
    begin = PLAIN.match(word)
    return begin is not None and len(begin.group()) > 1 and word[begin.end() :].islower()


def _in_block(letter: str, doubles: dict[str, str]) -> bool:
    return ("\u0400" <= letter <= "\u04ff") == (doubles is CYRILLIC)
