"""Stage `corpus`: duplicates over all sources, the held-out split, and the account of the whole way."""

import hashlib
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.account import ways
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.minhash import signatures, threshold
from lifecycle.curation.split import is_heldout
from lifecycle.errors import DataError
from lifecycle.ledger import Ledger
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, MinHashConfig
from tests.curation.cleaning import account_of, rows, write_documents
from tests.curation.test_minhash import random_text

MINHASH = MinHashConfig()
HALF = HeldoutConfig(share=0.5)
PLAIN = CurationConfig(heldout_overlap=None)


def build(
    directory: Path,
    sources: dict[str, list[str]],
    heldout: HeldoutConfig = HALF,
    curation: CurationConfig = PLAIN,
    **groups: list[str],
) -> Path:
    cleaned = {
        name: write_documents(directory / name, texts, source=name, groups=groups.get(name, ()))
        for name, texts in sources.items()
    }
    out = directory / "corpus"
    out.mkdir()
    facts = build_corpus(cleaned, curation.model_copy(update={"heldout": heldout, "workers": 1}), out, directory / "run")
    assert facts["rows"] == len(rows(out / "train"))
    return out


def both(out: Path) -> list[dict[str, Any]]:
    return rows(out / "train") + rows(out / "heldout")


def duplicates(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "duplicates.parquet").to_pylist()


def test_copies_across_sources_go_and_the_best_stays(tmp_path: Path) -> None:
    unique = [random_text(seed) for seed in range(40)]
    longer = unique[0] + " and a tail"
    out = build(tmp_path, {"b": [*unique[:20], unique[5]], "a": [longer, unique[5], *unique[20:]]})
    kept = {document["text"]: document for document in both(out)}
    assert len(both(out)) == len(kept) == 40
    assert longer in kept
    assert unique[0] not in kept
    assert kept[unique[5]]["source"] == "a"
    dropped = duplicates(out)
    assert sorted((row["source"], row["kept_source"], row["rule"]) for row in dropped) == [
        ("b", "a", "exact_duplicate"),
        ("b", "a", "exact_duplicate"),
        ("b", "a", "near_duplicate"),
    ]
    ids = {document["id"] for document in both(out)}
    assert {row["kept_id"] for row in dropped} <= ids
    assert not {row["id"] for row in dropped} & ids
    assert account_of(out, "b").dropped == {"exact_duplicate": 2, "near_duplicate": 1}


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=4, max_size=40), st.randoms())
def test_what_stays_does_not_depend_on_order(made: list[tuple[int, int]], draw: random.Random) -> None:
    """Kept texts are the same whatever the order; every copy is found; the account balances; kept ids are kept."""
    texts = [random_text(seed, 60) + " tail" * tails for seed, tails in made] + [random_text(100 + n) for n in range(12)]
    kept = []
    for number in range(2):
        with TemporaryDirectory() as name:
            out = build(Path(name), {"x": texts[: number + 2], "y": texts[number + 2 :]})
            documents = both(out)
            kept.append({document["text"] for document in documents})
            assert len(documents) == len(kept[-1])
            ledger = Ledger.read(out)
            assert sum(entry.kept for entry in ledger.sources) == len(documents)
            assert sum(entry.read for entry in ledger.sources) == len(texts)
            ids = {document["id"] for document in documents}
            assert {row["kept_id"] for row in duplicates(out)} <= ids
        draw.shuffle(texts)
    assert kept[0] == kept[1]


def test_no_heldout_document_has_a_near_duplicate_in_training(tmp_path: Path) -> None:
    """Deduplication runs before the split and across it; otherwise evaluation measures memory."""
    draw = random.Random(3)
    texts = []
    for seed in range(150):
        base = random_text(seed, 120).split()
        for _ in range(draw.randrange(1, 4)):
            copy = list(base)
            for _ in range(draw.randrange(0, 12)):
                copy[draw.randrange(len(copy))] = "changed"
            texts.append(" ".join(copy))
    draw.shuffle(texts)
    out = build(tmp_path, {"one": texts[:200], "two": texts[200:]})
    train = signatures([document["text"] for document in rows(out / "train")], MINHASH)
    held = signatures([document["text"] for document in rows(out / "heldout")], MINHASH)
    assert len(held) > 40
    shape = (-1, MINHASH.bands, MINHASH.rows)
    for one in held:
        same_band = (train.reshape(shape) == one.reshape(1, MINHASH.bands, MINHASH.rows)).all(axis=2).any(axis=1)
        assert not (same_band & (np.mean(train == one, axis=1) >= threshold(MINHASH))).any()


def test_whole_groups_go_to_one_side(tmp_path: Path) -> None:
    texts = [random_text(seed) for seed in range(200)]
    groups = [f"file{number // 5}" for number in range(200)]
    out = build(tmp_path, {"a": texts}, HeldoutConfig(share=0.3), a=groups)
    train, held = ({document["group"] for document in rows(out / side)} for side in ("train", "heldout"))
    assert not train & held
    assert len(train | held) == 40
    notes = account_of(out, "a").notes
    assert notes["split"] == {"heldout": len(held) * 5, "train": len(train) * 5}
    sides = {side: sum(len(document["text"]) for document in rows(out / side)) for side in ("heldout", "train")}
    assert notes["split_characters"] == sides


def test_the_split_follows_the_share_and_stays_when_text_is_added() -> None:
    config = HeldoutConfig(share=0.1)
    held = {str(number) for number in range(20_000) if is_heldout(str(number), config)}
    assert len(held) / 20_000 == pytest.approx(0.1, abs=0.01)
    wider = HeldoutConfig(share=0.2)
    assert all(is_heldout(group, wider) for group in held)
    other = HeldoutConfig(share=0.1, seed=18)
    assert len([group for group in held if is_heldout(group, other)]) < len(held) / 5


def test_an_empty_side_says_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"curation\.heldout: share 1e-06 .* 2 training and 0 held-out"):
        build(tmp_path, {"a": [random_text(1), random_text(2)]}, HeldoutConfig(share=1e-6))


def test_the_same_bytes_in_any_order_of_sources(tmp_path: Path) -> None:
    """The fingerprint knows the inputs by name only: their order in a dictionary must not show in the artifact."""
    sources = {"a": [random_text(n) for n in range(20)], "b": [random_text(n) + " x" for n in range(10, 30)]}
    digests = []
    for number, names in enumerate((["a", "b"], ["b", "a"])):
        out = build(tmp_path / str(number), {name: sources[name] for name in names})
        paths = sorted(path for path in out.rglob("*") if path.is_file())
        digests.append([(path.relative_to(out).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths])
    assert digests[0] == digests[1]
    assert [name for name, _ in digests[0]] == [
        "duplicates.parquet",
        "heldout/documents-00000.parquet",
        "heldout/documents-00001.parquet",
        "largest_clusters.json",
        "ledger.json",
        "train/documents-00000.parquet",
        "train/documents-00001.parquet",
    ]


def test_the_account_of_the_whole_way(tmp_path: Path) -> None:
    out = build(tmp_path, {"a": [random_text(n) for n in range(20)], "b": [random_text(n) for n in range(10, 30)]})
    cleaned = {name: tmp_path / name for name in ("a", "b")}
    whole = ways(cleaned, cleaned, out)
    assert {name: (way.total.read, way.total.kept, way.total.dropped) for name, way in whole.items()} == {
        "a": (20, 20, {}),
        "b": (20, 10, {"exact_duplicate": 10}),
    }
    assert all(way.train + way.heldout == way.total.kept for way in whole.values())
    with pytest.raises(DataError, match="no account of source 'c'"):
        ways({"c": tmp_path / "a"}, cleaned | {"c": tmp_path / "a"}, out)
