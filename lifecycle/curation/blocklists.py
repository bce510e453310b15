"""Blocklists: words of the user's categories, found by Aho and Corasick's automaton (1975) in one pass for each list."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import ahocorasick

from lifecycle.errors import RecipeError
from lifecycle.recipe.curation import Blocklist, ListFile, list_entries, list_file


def listed(text: str, blocklists: Sequence[Blocklist]) -> list[tuple[int, int]]:
    """Of each list how often its words occur in the text, and how many characters they cover.

    Raises:
        RecipeError: a list is not there, is not UTF-8, or holds no word.
    """
    folded = text.lower() if blocklists else ""
    fields = [f"curation.blocklists.{entry.category}" for entry in blocklists]
    files = [list_file(entry.path, field) for entry, field in zip(blocklists, fields, strict=True)]
    return [count_hits(automaton_of(file, field), folded) for file, field in zip(files, fields, strict=True)]


def blocked_category(text: str, blocklists: Sequence[Blocklist]) -> str | None:
    """The first category whose words are as many and as dense as its limits say, or None."""
    size = max(1, len("".join(text.split()))) if blocklists else 1
    for entry, (hits, characters) in zip(blocklists, listed(text, blocklists), strict=True):
        if hits >= entry.min_hits and characters / size >= entry.min_share:
            return entry.category
    return None


@cache
def automaton_of(file: ListFile, field: str) -> Any:
    """Finds the words of a list file, in lower case; raises RecipeError naming `field` where there is none."""
    path = file.path
    automaton = ahocorasick.Automaton()
    for word in list_entries(path, field):
        automaton.add_word(word.lower(), len(word.lower()))
    if len(automaton) == 0:
        raise RecipeError(f"{field}: {path} holds no word; fill it or take the list out of the recipe")
    automaton.make_automaton()
    return automaton


def count_hits(automaton: Any, folded: str) -> tuple[int, int]:
    """Occurrences, and the characters that they cover: of words that overlap the first one, and the longest from there.

    A word that begins or ends in a letter or digit of a script with spaces must begin or end there in the text too:
    `ass` is not in `class`, but 赌场 is in 大赌场.
    """
    found = [
        (end + 1 - length, -(end + 1))
        for end, length in automaton.iter(folded)
        if _is_edge(folded, end + 1 - length) and _is_edge(folded, end + 1)
    ]
    hits = characters = unused = 0
    for begin, negative_end in sorted(found):
        if begin >= unused:
            hits += 1
            characters += -negative_end - begin
            unused = -negative_end
    return hits, characters


def _is_edge(text: str, place: int) -> bool:
    return not (0 < place < len(text) and _joins(text[place - 1]) and _joins(text[place]))


def _joins(character: str) -> bool:
    """A letter or digit of a script that separates words: scripts from U+2E80 on (Han, kana, hangul) are not."""
    return character < "\u2e80" and character.isalnum()
