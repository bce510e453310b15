"""Lines or paragraphs that many documents carry: menus, notices, licences. The first document keeps them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.curation.windows import folded_words
from lifecycle.recipe.corpora import RepeatedTextConfig

SEPARATORS = {"line": "\n", "paragraph": "\n\n"}

SAID = np.dtype([("low", np.uint64), ("high", np.uint64), ("document", np.uint32), ("place", np.uint32)])
"""One line or paragraph of a document: 128 bits of hash, and the numbers of both."""
Said = NDArray[np.void]


@dataclass(frozen=True)
class Repeated:
    """What documents of a unit say that earlier ones said, on disk: their numbers, and places of lines or paragraphs."""

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path, places: NDArray[np.uint32]) -> "Repeated":
        """The places, shape (lines or paragraphs, 2), that were written to `path`."""
        return cls(path, xxhash.xxh3_128_hexdigest(places.tobytes()))

    def places(self) -> dict[int, set[int]]:
        """Places by document."""
        found: dict[int, set[int]] = {}
        for document, place in np.load(self.path).tolist():
            found.setdefault(document, set()).add(place)
        return found


def said(text: str, number: int, config: RepeatedTextConfig) -> Said:
    """What the document of a number says in its lines or paragraphs, in order, those of few words left out.

    Two of them are the same when their words are, whatever their case and punctuation.
    """
    found = []
    for place, part in enumerate(text.split(SEPARATORS[config.unit])):
        words = folded_words(part)
        if len(words) >= config.min_words:
            digest = xxhash.xxh3_128_intdigest("\n".join(words).encode("utf-8"))
            found.append((digest & 0xFFFFFFFFFFFFFFFF, digest >> 64, number, place))
    return np.array(found, dtype=SAID)


def said_before(everything: Said, documents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an earlier document said it, shape (lines or paragraphs,).

    A refrain within one document stays: only other documents make it repeated (CCNet, Wenzek et al. 2020, section 3.1,
    removes paragraphs so). Takes about 50 bytes of memory for each line or paragraph beside the given ones.

    Args:
        everything: what all documents say, in their order.
        documents: rising numbers of them over all, shape (lines or paragraphs,).
    """
    order = np.lexsort((everything["high"], everything["low"]))  # stable: equal ones stay in the order of documents
    low, high = everything["low"][order], everything["high"][order]
    begins = np.ones(order.size, dtype=np.bool_)
    begins[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    sayers = documents[order]
    result = np.empty(order.size, dtype=np.bool_)
    result[order] = sayers != sayers[begins][np.cumsum(begins) - 1]
    return result


def without(text: str, places: Collection[int], config: RepeatedTextConfig) -> str:
    """`text` without the lines or paragraphs at these places."""
    separator = SEPARATORS[config.unit]
    return separator.join(part for place, part in enumerate(text.split(separator)) if place not in places).strip()


def says_something(rest: str, config: RepeatedTextConfig) -> bool:
    """Whether what is left is at least one line's or paragraph's worth of words."""
    return len(folded_words(rest)) >= config.min_words
