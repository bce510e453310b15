"""Signatures by content: what is new is computed, what is known is read, and what is damaged is not believed."""

import logging
from pathlib import Path

import numpy as np
import pytest

from lifecycle.corpora.documents import DocumentWriter
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.index import Index, index_documents
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, MinHashConfig
from tests.curation.cleaning import write_documents
from tests.curation.test_corpus import HALF
from tests.curation.test_minhash import random_text
from tests.tokens.small_corpus import hashes

MINHASH = MinHashConfig()


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of some 25 documents, so that a small corpus has many."""
    monkeypatch.setattr("lifecycle.corpora.documents.CUT_AFTER_BYTES", 3_000)
    monkeypatch.setattr("lifecycle.corpora.documents.CUT_MEAN_BYTES", 6_000)


def _index(directory: Path, cache: Path, config: MinHashConfig = MINHASH) -> Index:
    work = directory.parent / f"work{len(list(directory.parent.iterdir()))}"
    work.mkdir()
    return index_documents({"a": directory}, [], HeldoutConfig(), config, None, cache, work, workers=1)


def _signatures(index: Index) -> np.ndarray:
    return index.texts.signatures_of(np.arange(len(index.ids)))


def test_a_second_run_computes_nothing_and_finds_the_same(tmp_path: Path, small_groups: None) -> None:
    corpus = write_documents(tmp_path / "a", [random_text(seed, 40) for seed in range(200)])
    first, second = (_index(corpus, tmp_path / "cache") for _ in range(2))
    plain = _index(corpus, tmp_path / "another cache")
    assert (first.cached, second.cached, plain.cached) == (0, 200, 0)
    for index in (second, plain):
        assert list(index.ids) == list(first.ids)
        assert np.array_equal(index.digests, first.digests)
        assert np.array_equal(_signatures(index), _signatures(first))
        assert np.array_equal(index.lengths, first.lengths)
    assert _index(corpus, tmp_path / "cache", MinHashConfig(seed=2)).cached == 0


@pytest.mark.parametrize("at", [0, 170, 400])
def test_a_document_added_anywhere_leaves_the_rest_cached(tmp_path: Path, small_groups: None, at: int) -> None:
    """Row groups that were cut by number would all change behind the place of the new document."""
    rows = [{"id": f"{number:024x}", "text": random_text(number, 40), "source": "a"} for number in range(400)]
    for name, documents in (("old", rows), ("new", [*rows[:at], rows[0] | {"id": "new", "text": "new text"}, *rows[at:]])):
        with DocumentWriter(tmp_path / name) as writer:
            for document in documents:
                writer.add(document | {"group": document["id"]})
    _index(tmp_path / "old", tmp_path / "cache")
    assert _index(tmp_path / "new", tmp_path / "cache").cached > 300


def test_a_damaged_entry_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = write_documents(tmp_path / "a", [random_text(seed, 40) for seed in range(50)])
    cache = tmp_path / "cache"
    first = _index(corpus, cache)
    (entry,) = (path for path in cache.rglob("*") if path.is_file())
    content = entry.read_bytes()
    for damaged in (b"", content[:-1], content[:-40], content[:100] + bytes([content[100] ^ 1]) + content[101:]):
        entry.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            again = _index(corpus, cache)
        assert "damaged" in caplog.text
        assert again.cached == 0
        assert np.array_equal(_signatures(again), _signatures(first))
        assert entry.read_bytes() == content
        caplog.clear()


def test_the_cache_never_shows_in_the_artifact(tmp_path: Path, small_groups: None) -> None:
    cleaned = {
        name: write_documents(tmp_path / name, [random_text(seed, 60) for seed in seeds], source=name)
        for name, seeds in (("a", range(80)), ("b", range(60, 120)))
    }
    curation = CurationConfig(heldout=HALF, workers=1)
    written = []
    for number in range(3):
        out = tmp_path / f"out{number}"
        out.mkdir()
        build_corpus(cleaned, curation, out, tmp_path / "run", None if number == 0 else tmp_path / "cache")
        written.append(hashes(out))
    assert written[0] == written[1] == written[2]
