"""Who gives way to whom: no chains, documents to compare with, and repeated lines."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.minhash import signatures, threshold
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CurationConfig, MinHashConfig, RepeatedTextConfig
from lifecycle.recipe.recipe import load_recipe
from lifecycle.stages import CLEANED_CORPORA, CORPUS
from tests.curation.cleaning import account_of, rows, write_documents
from tests.curation.near import search
from tests.curation.test_corpus import both, build, duplicates
from tests.curation.test_minhash import random_text

CONFIG = MinHashConfig()
PROGRAM = """
import sys
from types import SimpleNamespace
from lifecycle.corpora.arrow import strings
from lifecycle.curation.duplicates import by_preference
from lifecycle.curation.index import Names
import numpy as np
import pyarrow as pa
names = Names(pa.chunked_array([strings(["b", "a"])]))
index = SimpleNamespace(own=2, lengths=np.array([1, 5]), sources=names, ids=names)
print(by_preference(index, np.arange(2)).tolist(), "pandas" in sys.modules, pa.default_memory_pool().backend_name)
"""


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
    dropped = duplicates(out)
    assert dropped
    assert all(row["similarity"] >= threshold(CONFIG) for row in dropped)
    texts = {document["id"]: document["text"] for document in both(out)}
    assert {row["kept_id"] for row in dropped} <= set(texts)


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


@settings(max_examples=4, deadline=None)
@given(
    made=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(0, 2)), min_size=6, max_size=30),
    known=st.lists(st.integers(0, 5), max_size=2),
)
def test_within_a_source_is_as_if_each_source_were_alone(made: list[tuple[str, int, int]], known: list[int]) -> None:
    """Nothing that one source says takes a document or a line from another; what `against` holds goes from all of them."""
    common = "everyone says this one line of more than ten words now and then"
    sources = {name: [f"{random_text(ord(name) * 100 + number)}\n{common}" for number in range(8)] for name in "ab"}
    for name, text, tails in made:
        sources[name].append(random_text(text, 60) + " tail" * tails)
    with TemporaryDirectory() as directory:
        home = Path(directory)
        write_documents(home / "known", [random_text(9999), *(random_text(text, 60) for text in known)], source="old")
        config = CurationConfig(
            heldout_overlap=None,
            deduplication_scope="within_source",
            repeated_text=RepeatedTextConfig(unit="line"),
            against=(str(home / "known"),),
        )
        (home / "all").mkdir()
        together = build(home / "all", sources, curation=config)
        alone = {}
        for name in sources:
            (home / name).mkdir()
            alone[name] = build(home / name, {name: sources[name]}, curation=config)
        for side in ("train", "heldout"):
            assert rows(together / side) == [row for each in alone.values() for row in rows(each / side)]
        assert duplicates(together) == [row for each in alone.values() for row in duplicates(each)]
        for name, each in alone.items():
            assert account_of(together, name) == account_of(each, name)
            assert account_of(each, name).changed["repeated_line"] == 7


def test_the_scope_is_part_of_what_the_corpus_is() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "deploy/recipes/demo.yaml")
    within = recipe.curation.model_copy(update={"deduplication_scope": "within_source"})
    other = recipe.model_copy(update={"curation": within})
    assert CORPUS.identity(recipe, None) != CORPUS.identity(other, None)
    assert CLEANED_CORPORA.identity(recipe, "packages") == CLEANED_CORPORA.identity(other, "packages")


def test_the_order_of_copies_needs_no_pandas_and_arrow_allocates_with_malloc() -> None:
    """`to_numpy` imports pandas, 0.36 seconds of every run; the allocator of Arrow's choice took 140 MB more at the peak."""
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[1, 0] False system\n"
