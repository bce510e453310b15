"""Training documents that share a passage with held-out text: found slice by slice, the same as by comparing all at once."""

import random
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.corpora.documents import Document
from lifecycle.corpora.units import units
from lifecycle.curation import comparing
from lifecycle.curation.anchors import anchors_of
from lifecycle.curation.buffers import encoded
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.minhash import signatures_of
from lifecycle.curation.passages import PassageIndex
from lifecycle.curation.sign_and_anchor import sign_and_anchor
from lifecycle.curation.split import is_heldout
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, MinHashConfig, OverlapConfig
from tests.curation.cleaning import rows, write_documents
from tests.curation.test_minhash import random_text
from tests.tokens.small_corpus import hashes

PASSAGE = OverlapConfig(words=20, han_characters=50)
CURATION = CurationConfig(workers=1, heldout=HeldoutConfig(share=0.2), heldout_overlap=PASSAGE)
SAYINGS = [random_text(10_000 + number, 22) for number in range(12)]
HELD = [name for name in map(str, range(1000)) if is_heldout(name, CURATION.heldout)]
TRAINED = [name for name in map(str, range(1000)) if not is_heldout(name, CURATION.heldout)]


@pytest.fixture(autouse=True, scope="module")
def small_sizes() -> Any:
    """Row groups of some ten documents, units of some thirty, slices of some six."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifecycle.corpora.documents.CUT_AFTER_BYTES", 5_000)
        patch.setattr("lifecycle.corpora.documents.CUT_MEAN_BYTES", 10_000)
        patch.setattr("lifecycle.corpora.units.SMALLEST_MEAN", 1 << 15)
        patch.setattr("lifecycle.curation.suspects.SLICE_BYTES", 1 << 13)
        yield


def text_with(seed: int, sayings: list[int]) -> str:
    """A text of its own with some sayings within; far longer than these, so that no two are near-duplicates."""
    parts = [random_text(seed, 150)]
    for number in sayings:
        parts += [SAYINGS[number], random_text(seed + 5_000 * (1 + number), 20)]
    return " ".join(parts)


def build(home: Path, documents: list[tuple[str, str]], cache: Path | None) -> tuple[Path, dict[str, Any]]:
    """The corpus of some texts, each with its group."""
    groups, texts = zip(*documents, strict=True)
    cleaned = write_documents(home / "cleaned", texts, groups=groups)
    out = home / "corpus"
    out.mkdir()
    return out, build_corpus({"sample": cleaned}, CURATION, out, home / "run", cache)


def overlaps(out: Path) -> list[dict[str, str]]:
    return pq.read_table(out / "heldout_overlaps.parquet").to_pylist()


@settings(max_examples=6, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_same_as_comparing_with_all_heldout_texts_at_once(drawn: random.Random) -> None:
    """Which documents go, and which text is named: of those that hold the first shared passage, the first."""
    documents = [
        (drawn.choice(drawn.choice([HELD, TRAINED])), text_with(seed, drawn.sample(range(12), drawn.randrange(3))))
        for seed in range(80)
    ]
    documents += [(HELD[0], text_with(100, [0])), (TRAINED[0], text_with(101, [1]))]
    with TemporaryDirectory() as home:
        out, _ = build(Path(home), documents, None)
        held = rows(out / "heldout")
        index = PassageIndex((document["text"] for document in held), PASSAGE)
        expected = {}
        for document in rows(Path(home) / "cleaned"):
            shared = index.find(document["text"])
            if shared and not is_heldout(document["group"], CURATION.heldout):
                begin, end = shared[0].here
                expected[document["id"]] = held[shared[0].text]["id"], document["text"][begin:end]
        assert {row["id"]: (row["item"], row["text"]) for row in overlaps(out)} == expected
        assert not {document["id"] for document in rows(out / "train")} & set(expected)


def test_new_heldout_text_writes_those_units_anew_that_lose_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A held-out text that nearly every unit quotes made nearly every unit be written anew, although their documents had
    gone already; and everything that was ever suspected was compared again."""
    documents = [(TRAINED[number], text_with(number, [number % 3] if number % 4 else [])) for number in range(300)]
    documents[40:40] = [(HELD[number], text_with(1000 + number, [number % 3])) for number in range(20)]
    lone = 200
    documents[lone] = documents[lone][0], text_with(lone, [5])
    cache = tmp_path / "cache"
    out, first = build(tmp_path / "1", documents, cache)
    assert first["units"] > len(units(tmp_path / "1" / "cleaned")) > 5
    assert first["dropped"]["overlaps_heldout"] > 150
    compared: list[int] = []
    real = comparing.Begun.compare

    def counted(self: comparing.Begun, documents: Iterable[tuple[int, Document]]) -> list[int]:
        some = list(documents)
        compared.extend(number for number, _ in some)
        return real(self, some)

    monkeypatch.setattr(comparing.Begun, "compare", counted)
    _, same = build(tmp_path / "2", documents, cache)
    assert same["units_reused"] == same["units"] == first["units"]
    assert not compared
    more = [*documents, (HELD[30], text_with(2000, [0, 5]))]
    second, facts = build(tmp_path / "3", more, cache)
    assert facts["dropped"]["overlaps_heldout"] == first["dropped"]["overlaps_heldout"] + 1
    assert facts["units_reused"] >= facts["units"] - 4  # the new one, the one that loses a document, those at the end
    assert 0 < len(compared) < 150
    fresh, _ = build(tmp_path / "4", more, tmp_path / "another cache")
    assert hashes(second) == hashes(fresh)
    assert overlaps(second) != overlaps(out)


def test_a_unit_that_is_written_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its suspects were read to be compared, and then all of it to be written. With several slices it is the last one with
    which they are compared there; the corpus is the same."""
    documents = [(name, text_with(seed, [seed % 12] if seed % 3 else [])) for seed, name in enumerate(TRAINED[:90])]
    documents += [(name, text_with(500 + seed, [seed])) for seed, name in enumerate(HELD[:12])]
    real, before = comparing.Comparing.places, []

    def counted(self: comparing.Comparing, remaining: comparing.Remaining) -> comparing.Places:
        before.append(remaining)
        return real(self, remaining)

    monkeypatch.setattr(comparing.Comparing, "places", counted)
    several, facts = build(tmp_path / "several", documents, None)
    assert before
    assert facts["dropped"]["overlaps_heldout"] == 60
    before.clear()
    monkeypatch.setattr("lifecycle.curation.suspects.SLICE_BYTES", 1 << 30)
    one, _ = build(tmp_path / "one", documents, tmp_path / "cache")
    assert not before
    assert hashes(one) == hashes(several)
    again, facts = build(tmp_path / "again", documents, tmp_path / "cache")
    assert not before
    assert facts["units_reused"] == facts["units"]
    assert hashes(again) == hashes(one)


@given(st.lists(st.text(alphabet="ab 的了12,\n", max_size=60), max_size=5))
def test_signatures_and_anchors_are_those_that_each_makes_alone(texts: list[str]) -> None:
    signatures, hashes, counts = sign_and_anchor(*encoded(texts), MinHashConfig(), OverlapConfig(words=3, han_characters=4))
    assert (signatures == signatures_of(*encoded(texts), MinHashConfig())).all()
    alone, each = anchors_of(*encoded(texts), OverlapConfig(words=3, han_characters=4))
    assert hashes.tolist() == alone.tolist()
    assert counts.tolist() == each.tolist()
