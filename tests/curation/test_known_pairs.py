"""What a search for near-duplicates leaves to the next one changes nothing that this one finds."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation import near_duplicates
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, MinHashConfig, Scope
from tests.curation.cleaning import write_documents
from tests.curation.test_minhash import random_text
from tests.tokens.small_corpus import hashes

CURATION = CurationConfig(
    workers=1, heldout=HeldoutConfig(share=0.4), minhash=MinHashConfig(bands=6, rows=2), heldout_overlap=None
)
FAMILIES = [random_text(seed, 60).split() for seed in range(5)]


@pytest.fixture(autouse=True, scope="module")
def small_row_groups() -> Any:
    """Row groups of some five documents, so that those of a text that is added are not those of all others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifecycle.corpora.documents.CUT_AFTER_BYTES", 1_000)
        patch.setattr("lifecycle.corpora.documents.CUT_MEAN_BYTES", 1_000)
        yield


def texts(seed: int, count: int) -> list[str]:
    """Copies, texts that resemble each other more or less, longer and shorter, and others."""
    drawn = random.Random(seed)
    made = []
    for number in range(count):
        words = list(drawn.choice(FAMILIES))
        for place in drawn.sample(range(60), drawn.choice([0, 0, 3, 15, 40])):
            words[place] = f"w{drawn.randrange(30)}"
        made.append(" ".join(words[drawn.choice([0, 0, 5]) :]) if number % 4 else random_text(seed + number, 30))
    return made


def built(home: Path, sources: dict[str, list[str]], cache: Path | None, scope: Scope) -> dict[str, str]:
    """Hashes of the corpus of some texts."""
    cleaned = {name: write_documents(home / name, some, source=name) for name, some in sources.items()}
    out = home / "corpus"
    out.mkdir()
    build_corpus(cleaned, CURATION.model_copy(update={"deduplication_scope": scope}), out, home / "run", cache)
    return hashes(out)


@settings(max_examples=5, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(20, 60), st.integers(20, 60)), min_size=2, max_size=3),
    st.sampled_from(["across_sources", "within_source"]),
    st.sampled_from([3, 1000]),
)
def test_run_after_run_is_as_one_from_scratch(seed: int, steps: list[tuple[int, int]], scope: Scope, compared: int) -> None:
    """Sources grow and shrink; a copy that is preferred takes the place of one that was compared before."""
    both = {"a": texts(seed, 60), "b": texts(seed + 100, 60)}
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "COMPARED", compared)
        for number, (a, b) in enumerate(steps):
            sources = {"a": both["a"][:a], "b": both["b"][:b]}
            kept = built(Path(directory) / f"kept-{number}", sources, Path(directory) / "cache", scope)
            assert kept == built(Path(directory) / f"fresh-{number}", sources, None, scope)


def test_only_where_a_new_text_came_in_texts_are_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one text more, the search once sorted all keys and compared all texts again."""
    looked_at: list[int] = []
    real = near_duplicates._bucketed

    def counted(signed: Any, keys: Any, numbers: Any) -> Any:
        looked_at.append(keys.size)
        return real(signed, keys, numbers)

    monkeypatch.setattr(near_duplicates, "_bucketed", counted)
    some = texts(7, 200)
    built(tmp_path / "1", {"a": some}, tmp_path / "cache", "across_sources")
    more = built(tmp_path / "2", {"a": [*some, random_text(-1, 50)]}, tmp_path / "cache", "across_sources")
    fewer = built(tmp_path / "3", {"a": some[:150]}, tmp_path / "cache", "across_sources")
    assert looked_at[1] * 10 < looked_at[0]
    assert looked_at[2] * 2 > looked_at[0]  # two texts may have been joined through one that is gone
    monkeypatch.undo()
    assert more == built(tmp_path / "4", {"a": [*some, random_text(-1, 50)]}, None, "across_sources")
    assert fewer == built(tmp_path / "5", {"a": some[:150]}, None, "across_sources")
