"""What the last search for near-duplicates joined, kept for the next one: that looks only where a new text came in.

Documents are known again by their text. A search that lacks one of those compared before starts anew: two texts may have
been joined through it.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.banding import Numbers
from lifecycle.curation.joined import Before, Pairs
from lifecycle.curation.sealed import load, save

VERSION = 1
"""Raised when the same texts are joined by other pairs."""
MOST_DOCUMENTS = 60_000_000
"""Pairs among more are not kept: their digests are read and written whole, 16 bytes each."""

Digests = NDArray[np.uint64]


def read_pairs(entry: Path, digests: Digests, looked_at: NDArray[np.bool_], known: Path) -> Before | None:
    """What is kept in `entry`, in the numbers of today; None where there is nothing, or where a text of it is gone.

    Args:
        digests: of the text of each document, shape (documents, 2).
        looked_at: whether each document is compared now; of these no two have the same text.
        known: where to write which documents were compared before.
    """
    payload = load(entry)
    if payload is None:
        return None
    with np.load(io.BytesIO(payload.data)) as stored:
        before, texts, keys = stored["digests"], stored["texts"], stored["keys"]
    order = _by_digest(digests, looked_at)
    if len(before) > order.size:
        return None
    places = np.searchsorted(digests[order, 0], before[:, 0])
    moved = order[np.minimum(places, order.size - 1)]
    if not (digests[moved] == before).all():
        return None
    flags = np.zeros(len(digests), dtype=bool)
    flags[moved] = True
    np.save(known, flags)
    return Before(known, Pairs(moved[texts], keys))


def write_pairs(entry: Path, digests: Digests, looked_at: NDArray[np.bool_], pairs: Pairs) -> None:
    """Keep the pairs that a search joined among the documents which it looked at."""
    order = _by_digest(digests, looked_at)
    if order.size > MOST_DOCUMENTS:
        return
    places = np.empty(len(digests), dtype=np.int64)
    places[order] = np.arange(order.size)
    written = io.BytesIO()
    np.savez(written, digests=digests[order], texts=places[pairs.texts], keys=pairs.keys)
    save(entry, written.getvalue())


def _by_digest(digests: Digests, looked_at: NDArray[np.bool_]) -> Numbers:
    numbers = np.flatnonzero(looked_at)
    return numbers[np.argsort(digests[numbers, 0])]
