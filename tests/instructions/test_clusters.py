"""Semantic duplicates: each gives way to a better one that stays, and no two that stay are as alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.instructions import clusters
from lifecycle.instructions.clusters import NONE, compare, k_means
from lifecycle.instructions.embeddings import unit_rows


@st.composite
def _points(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    size = draw(st.integers(1, 24))
    cells = draw(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=size, max_size=size))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    rank = np.array(draw(st.permutations(range(size))))
    return unit_rows(np.array(cells, dtype=np.float32)), labels, rank, draw(st.sampled_from((0.7, 0.9, 0.99)))


@given(_points())
@settings(max_examples=50, deadline=None)
def test_every_duplicate_names_a_better_one_that_stays_and_none_that_stay_are_alike(points):
    vectors, labels, rank, threshold = points
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "BLOCK", 4)  # so that clusters span several
        found = compare(vectors, labels, rank, threshold)
    cosines = vectors @ vectors.T
    for row, nearest in enumerate(found.nearest.tolist()):
        better = (labels == labels[row]) & (rank < rank[row]) & ~found.duplicate
        assert (nearest == NONE) == (not better.any())
        if nearest != NONE:
            assert better[nearest]
            assert found.similarity[row] == pytest.approx(cosines[row][better].max(), abs=1e-6)
    assert (found.duplicate == ((found.nearest != NONE) & (found.similarity >= threshold))).all()


def test_rows_of_different_clusters_are_not_compared():
    same = np.ones((2, 3), dtype=np.float32) / np.sqrt(3).astype(np.float32)
    assert compare(same, np.array([0, 1]), np.array([0, 1]), 0.9).duplicate.tolist() == [False, False]
    assert compare(same, np.array([0, 0]), np.array([1, 0]), 0.9).duplicate.tolist() == [True, False]


def test_clusters_are_numbered_by_size_and_the_same_every_time():
    random = np.random.default_rng(5)
    centres = np.eye(3, 8)
    vectors = unit_rows(np.repeat(centres, (10, 60, 30), axis=0) + random.normal(scale=0.05, size=(100, 8)))
    found = k_means(vectors, 3, seed=1)
    assert np.bincount(found).tolist() == [60, 30, 10]
    assert found[10:70].tolist() == [0] * 60
    assert (k_means(vectors, 3, seed=1) == found).all()
    assert k_means(vectors[:2], 5, seed=1).max() <= 1
