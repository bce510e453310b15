"""Embeddings by wording: words and pairs of words, weighted by TF-IDF and projected to a few dimensions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.words import character_tables, code_points, find_words
from lifecycle.errors import DataError

TERM_BITS = 20
"""Words and pairs fall into 2^20 buckets."""
MAX_TERMS = 1 << 15
"""Buckets that are kept: those that most conversations have. With all of them the projection took ten times as long."""
MIN_CONVERSATIONS = 2
"""That must have a term; one that a single text has makes nothing alike."""
MAX_CHARACTERS = 20_000
SPREAD, PAIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def lexical_embeddings(texts: Sequence[str], dimensions: int, seed: int) -> NDArray[np.float64]:
    """The coordinates of texts in the space of their terms' largest singular vectors, shape (texts, at most `dimensions`).

    Counts go in as 1 + log(count), times the inverse document frequency, in rows of length 1 (Salton and Buckley 1988).

    Raises:
        DataError: no two texts share a word.
    """
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from threadpoolctl import threadpool_limits

    found = [np.unique(_terms(text[:MAX_CHARACTERS]), return_counts=True) for text in texts]
    places = np.concatenate([terms for terms, _ in found])
    frequency = np.bincount(places, minlength=1 << TERM_BITS)
    often = np.argsort(-frequency, kind="stable")[:MAX_TERMS]
    often = np.sort(often[frequency[often] >= MIN_CONVERSATIONS])
    ends = np.cumsum([0, *(terms.size for terms, _ in found)])
    counts = np.concatenate([counts for _, counts in found]).astype(np.float64)
    matrix = csr_matrix((counts, places, ends), shape=(len(texts), 1 << TERM_BITS))[:, often]
    dimensions = min(dimensions, min(matrix.shape) - 1)
    if dimensions < 1:
        raise DataError(f"instructions.embeddings: {len(texts)} conversations share no words; a lexical space needs some")
    # Sums over several threads come in any order, and so would the last bits.
    with threadpool_limits(limits=1):
        weighted = TfidfTransformer(sublinear_tf=True).fit_transform(matrix)
        return TruncatedSVD(dimensions, n_iter=4, random_state=seed).fit_transform(weighted)


def _terms(text: str) -> NDArray[np.int64]:
    classes, lower = character_tables()
    words, _, _ = find_words(code_points(text), classes, lower)
    with np.errstate(over="ignore"):
        pairs = (words[:-1] * PAIR) ^ words[1:]
        return (np.concatenate([words, pairs]) * SPREAD >> np.uint64(64 - TERM_BITS)).astype(np.int64)
