"""Numbers inside one character: circled and bracketed digits, digits with a full stop, Roman numerals."""

import re
import unicodedata

BLOCKS = ((0x2460, 0x249B), (0x24EA, 0x24EA), (0x3220, 0x3229), (0x3251, 0x325F), (0x3280, 0x3289), (0x32B1, 0x32BF))
"""Those that Unicode decomposes into their number, or into it with its brackets or full stop."""
ROMAN = (0x2160, 0x217F)
DINGBATS = {0x24EB: range(11, 21), 0x24F5: range(1, 11), 0x24FF: range(1), 0x2776: range(1, 11), 0x2780: range(1, 11)}
DINGBATS |= {0x278A: range(1, 11)}
"""First characters of runs that Unicode does not decompose, and their numbers."""


def _written_out() -> dict[str, str]:
    found = {}
    for first, last in (*BLOCKS, ROMAN):
        for character in map(chr, range(first, last + 1)):
            plain = unicodedata.normalize("NFKC", character)
            found[character] = f"({plain})" if plain != character and plain.isalnum() and first != ROMAN[0] else plain
    for first, numbers in DINGBATS.items():
        found |= {chr(first + place): f"({number})" for place, number in enumerate(numbers)}
    return {character: plain for character, plain in found.items() if character != plain}


WRITTEN_OUT = _written_out()
ENCLOSED = re.compile(f"[{''.join(WRITTEN_OUT)}]")


def enclosed_numbers(text: str) -> str:
    """`①` and `⑴` become `(1)`, `⒈` becomes `1.`, `㈠` becomes `(一)`, `Ⅳ` becomes `IV`.

    Brackets where there was a circle: the bare digit would join with what stands beside it (`图5①` is not `图51`).
    """
    return text if text.isascii() else ENCLOSED.sub(lambda match: WRITTEN_OUT[match.group()], text)
