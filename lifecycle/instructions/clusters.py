"""Clusters of conversations, and which of them repeat a better one of their cluster."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
BLOCK = 512
"""Rows compared at once: of a large cluster never all with all."""
NONE = -1


def k_means(vectors: Vectors, clusters: int, seed: int) -> NDArray[np.int64]:
    """The cluster of every row, shape (rows,), the largest cluster first (Sculley 2010, mini-batch k-means).

    Rows of length 1 are nearer to a centre the larger their cosine is. The same rows in the same order give the same.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    clusters = min(clusters, len(vectors))
    with threadpool_limits(limits=1):
        means: Any = MiniBatchKMeans  # its stubs know no number for n_init
        found = means(clusters, batch_size=4096, n_init=3, random_state=seed).fit_predict(vectors)
    names, first, sizes = np.unique(found, return_index=True, return_counts=True)
    number = np.empty(names.max() + 1, dtype=np.int64)
    number[names[np.lexsort((first, -sizes))]] = np.arange(len(names))
    return number[found]


@dataclass(frozen=True)
class Likeness:
    """Of every row the one most like it among those of its cluster that are better and stay; shapes (rows,)."""

    nearest: NDArray[np.int64]
    """`NONE` for the best of a cluster."""
    similarity: NDArray[np.float32]
    """Cosine with the nearest, 0 where there is none."""
    duplicate: NDArray[np.bool_]


def compare(vectors: Vectors, clusters: NDArray[np.int64], rank: NDArray[np.int64], min_similarity: float) -> Likeness:
    """Which rows resemble a better one of their cluster by at least `min_similarity` (after SemDeDup, Abbas et al. 2023).

    The row named is one that stays, and the two are alike themselves, not through a chain of others. Rows of different
    clusters are not compared.

    Args:
        vectors: rows of length 1.
        rank: of each row, all different; the smallest is the best.
    """
    found = Likeness(
        np.full(len(vectors), NONE, dtype=np.int64),
        np.zeros(len(vectors), dtype=np.float32),
        np.zeros(len(vectors), dtype=np.bool_),
    )
    for members in _best_first(clusters, rank):
        stays = np.empty(0, dtype=np.int64)
        for begin in range(0, len(members), BLOCK):
            block = members[begin : begin + BLOCK]
            _compare_block(vectors, block, stays, min_similarity, found)
            stays = np.concatenate([stays, block[~found.duplicate[block]]])
    return found


def _best_first(clusters: NDArray[np.int64], rank: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    order = np.lexsort((rank, clusters))
    yield from np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)


def _compare_block(
    vectors: Vectors, block: NDArray[np.int64], stays: NDArray[np.int64], min_similarity: float, found: Likeness
) -> None:
    """Decide the rows of a block, best first, given those before it that stay."""
    within = vectors[block] @ vectors[block].T
    if stays.size:
        before = vectors[block] @ vectors[stays].T
        best = before.argmax(axis=1)
        found.nearest[block], found.similarity[block] = stays[best], before[np.arange(len(block)), best]
    for place, row in enumerate(block.tolist()):
        rivals = np.flatnonzero(~found.duplicate[block[:place]])
        if rivals.size:
            rival = rivals[within[place, rivals].argmax()]
            if found.nearest[row] == NONE or within[place, rival] > found.similarity[row]:
                found.nearest[row], found.similarity[row] = block[rival], within[place, rival]
        found.duplicate[row] = found.nearest[row] != NONE and found.similarity[row] >= min_similarity
