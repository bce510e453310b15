"""A complete shuffle of documents on disk in bounded memory: scatter into buckets, then shuffle each bucket.

The place of every document copy is drawn before any text is read, as one permutation of all copies; a bucket is a
stretch of that permutation small enough to be held in memory. Both passes write and read sequentially.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np


def draw_copies(sources: np.ndarray, epochs: dict[int, float], rng: np.random.Generator) -> np.ndarray:
    """How often each document is written, int64 [documents]: the whole part of its source's epochs, and one more for a
    seeded choice of the fractional part of the documents.

    Args:
        sources: source index of each document [documents].
        epochs: epochs by source index.
    """
    copies = np.zeros(len(sources), dtype=np.int64)
    for source, amount in sorted(epochs.items()):
        members = np.flatnonzero(sources == source)
        copies[members] = int(amount)
        extra = round((amount - int(amount)) * len(members))
        copies[rng.permutation(members)[:extra]] += 1
    return copies


class BucketShuffle:
    """Takes documents in reading order and gives them back at their drawn places.

    Args:
        directory: for temporary files; removed by `drain`.
        copies: copies of each document, in reading order [documents].
        buckets: more buckets, less memory: about (4 bytes per token of all copies) / buckets.
    """

    def __init__(self, directory: Path, copies: np.ndarray, buckets: int, rng: np.random.Generator) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        total = int(copies.sum())
        self._starts = np.concatenate([[0], np.cumsum(copies)])
        self._places = rng.permutation(total)
        self._size = max(1, -(-total // buckets))
        count = -(-total // self._size)
        self._paths = [(directory / f"{index}.tokens", directory / f"{index}.index") for index in range(count)]
        self._files: list[tuple[IO[bytes], IO[bytes]]] = [(a.open("wb"), b.open("wb")) for a, b in self._paths]
        self._read = 0

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """The next documents: uint32 ids [tokens] one behind the other and their lengths [documents]."""
        ends = np.cumsum(lengths)
        for index, end in enumerate(ends.tolist()):
            document = self._read + index
            length = int(lengths[index])
            for place in self._places[self._starts[document] : self._starts[document + 1]].tolist():
                tokens, entries = self._files[place // self._size]
                tokens.write(ids[end - length : end].tobytes())
                entries.write(np.array([place, length], dtype=np.int64).tobytes())
        self._read += len(lengths)

    def drain(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ids uint32 [tokens] and lengths int64 [documents] of one bucket after the other, in the drawn order."""
        for tokens, entries in self._files:
            tokens.close()
            entries.close()
        for token_path, entry_path in self._paths:
            entries = np.fromfile(entry_path, dtype=np.int64).reshape(-1, 2)
            tokens = np.fromfile(token_path, dtype=np.uint32)
            ends = np.cumsum(entries[:, 1])
            order = np.argsort(entries[:, 0])
            pieces = [tokens[ends[i] - entries[i, 1] : ends[i]] for i in order.tolist()]
            yield np.concatenate(pieces), entries[order, 1]
            token_path.unlink()
            entry_path.unlink()
