"""Who gives way to whom: no chains, documents to compare with, and repeated lines."""

from pathlib import Path

import numpy as np
import pytest

from lifecycle.curation.minhash import signatures, threshold
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CurationConfig, MinHashConfig
from tests.curation.cleaning import account_of, write_documents
from tests.curation.near import search
from tests.curation.test_corpus import both, build, duplicates
from tests.curation.test_minhash import random_text

CONFIG = MinHashConfig()


def _chain(links: int) -> list[str]:
    """Texts that each share most words with the next one, while the ends share none."""
    words = random_text(7, 30 * (links + 12)).split()
    return [" ".join(words[30 * link : 30 * link + 330]) for link in range(links)]


def test_a_chain_does_not_drag_unlike_documents_away() -> None:
    """Union-find alone made one cluster of texts down to no similarity at all, and kept one of them."""
    signature = signatures(_chain(30), CONFIG)
    found = search(signature, CONFIG)
    assert 5 < len(found) < 24
    for text, (kept, similarity) in found.items():
        assert kept not in found
        assert np.mean(signature[text] == signature[kept]) == pytest.approx(similarity)
        assert similarity >= threshold(CONFIG)


def test_every_dropped_document_resembles_the_kept_one(tmp_path: Path) -> None:
    out = build(tmp_path, {"a": [*_chain(25), *(random_text(seed) for seed in range(20))]})
    rows = duplicates(out)
    assert rows
    assert all(row["similarity"] >= threshold(CONFIG) for row in rows)
    texts = {document["id"]: document["text"] for document in both(out)}
    assert {row["kept_id"] for row in rows} <= set(texts)


def test_what_another_artifact_holds_is_dropped(tmp_path: Path) -> None:
    known = [random_text(seed) for seed in range(30)]
    write_documents(tmp_path / "known" / "train", known, source="old")
    mine = [known[3], known[4] + " tail", *(random_text(seed) for seed in range(100, 140))]
    curation = CurationConfig(against=(str(tmp_path / "known"),), heldout_overlap=None)
    out = build(tmp_path, {"a": mine}, curation=curation)
    assert account_of(out, "a").dropped == {"exact_duplicate_against": 1, "near_duplicate_against": 1}
    assert {document["text"] for document in both(out)} == set(mine[2:])
    assert {row["kept_source"] for row in duplicates(out)} == {"against"}


def test_a_folder_without_documents_to_compare_with_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    curation = CurationConfig(against=(str(tmp_path / "a.txt"),))
    with pytest.raises(DataError, match=r"curation\.against\[0\]: no documents-\*\.parquet below"):
        build(tmp_path, {"a": [random_text(1), random_text(2)]}, curation=curation)
