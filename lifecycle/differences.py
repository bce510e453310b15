"""What differs between two short texts, marked so that a person sees it: invisible characters too."""

import re
from difflib import SequenceMatcher
from typing import AnyStr, Literal, NamedTuple

TOKENS = re.compile(r"[^\W\u3400-\u9fff]+|.", re.DOTALL)
"""Runs of letters and digits; each Han character, blank and sign by itself."""
CUT = 200
"""Excerpts of this length or more were cut: that one of them ends earlier is no change of the text."""
SHARED_TOKENS = 5
"""Fewer in a row than this are shared by chance."""

Kind = Literal["same", "removed", "added", "shared"]


class Piece(NamedTuple):
    """A stretch of one of the two texts."""

    kind: Kind
    text: str


def differences(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces: what only the first has is `removed`, what only the second has `added`."""
    old, new = TOKENS.findall(before), TOKENS.findall(after)
    ours: list[Piece] = []
    theirs: list[Piece] = []
    for operation, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left, right = "".join(old[i:i_end]), "".join(new[j:j_end])
        same = operation == "equal"
        cut_old = j_end == len(new) and i_end == len(old) and not right and len(after) >= CUT
        cut_new = j_end == len(new) and i_end == len(old) and not left and len(before) >= CUT
        if left:
            ours.append(_piece("same" if same or cut_old else "removed", left))
        if right:
            theirs.append(_piece("same" if same or cut_new else "added", right))
    return ours, theirs


def first_difference(one: AnyStr, other: AnyStr) -> int:
    """The first place in which two texts differ; the length of the shorter one where it begins the longer one."""
    same, limit = 0, min(len(one), len(other))
    while same < limit:  # bisection over slices: a loop over the characters of a book takes longer than its cleaning
        middle = (same + limit + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            limit = middle - 1
    return same


def shared(text: str, passage: str) -> list[Piece]:
    """`text` in pieces; what `passage` says too is `shared`, whatever its case, and although its punctuation may differ."""
    tokens = TOKENS.findall(text)
    blocks = SequenceMatcher(
        None, [token.casefold() for token in tokens], TOKENS.findall(passage.casefold()), autojunk=False
    ).get_matching_blocks()
    pieces: list[Piece] = []
    place = 0
    for begin, _, size in (*(block for block in blocks if block.size >= SHARED_TOKENS), (len(tokens), 0, 0)):
        if begin > place:
            pieces.append(Piece("same", "".join(tokens[place:begin])))
        if size:
            pieces.append(Piece("shared", "".join(tokens[begin : begin + size])))
        place = begin + size
    return pieces


def _piece(kind: Kind, text: str) -> Piece:
    return Piece(kind, text if kind == "same" else visible(text))


def visible(text: str) -> str:
    """Characters without a shape are named: a zero-width space is `⟨U+200B⟩`, a line end `⏎`; a blank where it is alone."""
    blank = "␣" if not text.strip(" ") else " "
    return "".join(_shown(character, blank) for character in text)


def _shown(character: str, blank: str) -> str:
    if character == "\n":
        return "⏎\n"
    if character == " ":
        return blank
    return character if character.isprintable() else f"⟨U+{ord(character):04X}⟩"
