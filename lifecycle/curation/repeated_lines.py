"""Lines that repeat across the documents of a source: counted in a first pass, removed in the second.

Memory is bounded: a table of fixed size counts all lines by hash, too high where hashes meet; lines that reach the limit
there are counted exactly. Each is in a share of the documents, so there are at most lines-per-document / share of them.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import xxhash

from lifecycle.curation.markup import pieces
from lifecycle.parallel import chunks, ordered_map
from lifecycle.recipe.curation import RepeatedLinesConfig

TABLE_BITS = 22
"""Four million counters of 32 bits: 16 MB, two thousand lines a counter at ten billion lines."""
DOCUMENTS_PER_TASK = 500
LINES = re.compile(r"[^\n]*\n|[^\n]+")
LETTERS = re.compile(r"\w")
WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff]")
STRUCTURE = ("#", "=", "|", "?", "!", "[", ":", "@", "\\", "$")
"""First characters of Markdown headings, table rows, admonitions, link targets, LaTeX: documents are alike in structure."""
ANNOUNCES = (":", "：")
"""Last characters of a line that the next one needs (`For example:`)."""

Texts = Callable[[], Iterable[str]]
Hashes = frozenset[int]


def repeated_lines(texts: Texts, repair: Callable[[str], str], config: RepeatedLinesConfig, workers: int) -> Hashes:
    """Hashes of the lines to remove, from two passes over `texts()`, each repaired first as it will be at removal."""
    table = np.zeros(1 << TABLE_BITS, dtype=np.uint32)
    documents = 0
    for hashes in _hashes(texts(), repair, config, workers):
        documents += 1
        np.add.at(table, hashes & np.uint64(len(table) - 1), 1)
    limit = max(config.min_documents, math.ceil(config.min_share * documents))
    exact: Counter[int] = Counter()
    for hashes in _hashes(texts(), repair, config, workers):
        exact.update(hashes[table[hashes & np.uint64(len(table) - 1)] >= limit].tolist())
    return frozenset(value for value, count in exact.items() if count >= limit)


def without_lines(text: str, repeated: Hashes, config: RepeatedLinesConfig) -> str:
    """`text` without its prose lines whose hash is in `repeated`; code stays."""
    if not repeated:
        return text
    parts = []
    for is_code, piece in _blocks(text):
        if is_code:
            parts.append(piece)
            continue
        lines = LINES.findall(piece)
        parts += [line for line in lines if (found := line_hash(line, config)) is None or found not in repeated]
    return "".join(parts)


def line_hash(line: str, config: RepeatedLinesConfig) -> int | None:
    """Which line this is without regard to white space and case; None for one that never counts as repeated."""
    key = "".join(line.split()).casefold()
    if key.startswith(STRUCTURE) or key.endswith(ANNOUNCES):
        return None
    if len(LETTERS.findall(key)) + len(WIDE.findall(key)) < config.min_characters:
        return None
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


def _hashes(texts: Iterable[str], repair: Callable[[str], str], config: RepeatedLinesConfig, workers: int) -> Iterator:
    work = partial(_document_hashes, repair, config)
    for batch in ordered_map(work, chunks(texts, DOCUMENTS_PER_TASK), workers):
        yield from batch


def _document_hashes(repair: Callable[[str], str], config: RepeatedLinesConfig, texts: list[str]) -> list:
    found = []
    for text in texts:
        lines = (line for is_code, piece in _blocks(repair(text)) if not is_code for line in piece.split("\n"))
        hashes = {value for value in (line_hash(line, config) for line in lines) if value is not None}
        found.append(np.fromiter(sorted(hashes), dtype=np.uint64, count=len(hashes)))
    return found


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of whole lines: code within a line belongs to its line."""
    prose: list[str] = []
    for is_code, piece in pieces(text):
        if is_code and "\n" in piece:
            if prose:
                yield False, "".join(prose)
                prose = []
            yield True, piece
        else:
            prose.append(piece)
    if prose:
        yield False, "".join(prose)
