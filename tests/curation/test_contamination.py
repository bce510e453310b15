"""Evaluation items planted in documents are found; so is held-out text; clean text stays."""

import bz2
import gzip
import io
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.corpora.snapshot import file_snapshots
from lifecycle.curation.contamination import Overlaps
from lifecycle.curation.passages import PassageIndex, Passages
from lifecycle.errors import DataError
from lifecycle.evaluation.texts import EvaluationText, read_evaluation_texts
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, OverlapConfig
from tests.curation.cleaning import account_of, rows
from tests.curation.test_corpus import HALF, build
from tests.curation.test_minhash import random_text
from tests.shared_data import shared

FIELD = "curation.decontaminate"


def test_every_text_of_every_format(tmp_path: Path) -> None:
    items = [{"id": "a", "question": "Why?", "more": {"answers": ["one", {"two words": 1}]}}, {"question": "And?"}]
    lines = "\n".join(json.dumps(item) for item in items)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "c.json").write_text(json.dumps({"version": "1", "data": items}))
    (tmp_path / "d.csv").write_text('\ufeffquestion,answer\n"Why,\nso?",yes\n', encoding="utf-8")
    (tmp_path / "e.txt.bz2").write_bytes(bz2.compress(b"first\nsecond\n"))
    with tarfile.open(tmp_path / "f.tar.gz", "w:gz") as archive:
        for name, content in (("x/t.json", json.dumps(items[1:])), ("x/LICENSE", "no item"), ("x/._t.json", "junk")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    found = list(read_evaluation_texts([str(tmp_path)], FIELD))
    assert {text.file for text in found} == {"a.jsonl", "b.jsonl.gz", "c.json", "d.csv", "e.txt.bz2", "f.tar.gz/x/t.json"}
    for name in ("a.jsonl", "b.jsonl.gz", "c.json"):
        texts = [(text.item, text.text) for text in found if text.file == name]
        assert {("a", "Why?"), ("a", "one"), ("a", "two words"), ("2", "And?")} <= set(texts)
    assert EvaluationText("d.csv", "1", "Why,\nso?") in found
    assert EvaluationText("e.txt.bz2", "2", "second") in found
    assert EvaluationText("f.tar.gz/x/t.json", "1", "And?") in found


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"a": 1', "cannot be read as evaluation items"),
        ("a.jsonl.gz", b"not gzip", "cannot be read as evaluation items"),
        ("a.json", b"\xff\xfe", "cannot be read as evaluation items"),
        ("a.pdf", b"x", "its kind is not known by its name"),
        ("a.jsonl", b"", "holds no text of an evaluation item"),
    ],
)
def test_a_file_that_is_no_evaluation_set_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"curation\.decontaminate\[0\]: .*{name}: .*{says}"):
        list(read_evaluation_texts([str(tmp_path / name)], FIELD))


def test_planted_items_go_and_are_listed_with_both_texts(tmp_path: Path) -> None:
    english = "A robe takes two bolts of blue fiber and half that much white fiber; how many bolts in total does it take?"
    chinese = "下列关于我国古代科举制度的说法中，正确的一项是：殿试由皇帝亲自主持，录取者统称为进士，第一名称为状元。"
    (tmp_path / "eval.jsonl").write_text(
        json.dumps({"task_id": "math/7", "q": english}) + "\n" + json.dumps({"question": chinese}), encoding="utf-8"
    )
    clean = [random_text(seed) for seed in range(60)]
    planted = [random_text(90) + " " + english.upper() + " " + random_text(91), f"前文{chinese}后文"]
    curation = CurationConfig(decontaminate=(str(tmp_path / "eval.jsonl"),))
    out = build(tmp_path, {"web": clean + planted}, curation=curation)
    assert {document["text"] for side in ("train", "heldout") for document in rows(out / side)} == set(clean)
    assert account_of(out, "web").dropped == {"contaminated": 2}
    one, two = sorted(pq.read_table(out / "contamination.parquet").to_pylist(), key=lambda row: row["item"])
    assert (one["file"], one["item"], two["item"]) == ("eval.jsonl", "2", "math/7")
    assert one["text"] == chinese.removesuffix("。")
    assert one["document_context"] == f"前文{chinese}后文"
    assert one["item_context"] == chinese
    assert two["text"].lower() == english.lower().removesuffix("?")


def test_evaluation_files_enter_the_fingerprint_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    config = CurationConfig(decontaminate=(str(path),))
    path.write_text('{"q": "one"}')
    before = file_snapshots(config.files_read())
    assert list(before) == ["curation.decontaminate[0]"]
    path.write_text('{"q": "two"}')
    assert file_snapshots(config.files_read()) != before
    path.unlink()
    with pytest.raises(DataError, match=r"curation\.decontaminate\[0\]: no file matches"):
        file_snapshots(config.files_read())


def test_no_long_passage_of_heldout_text_is_trained_on(tmp_path: Path) -> None:
    """A training document that quotes 60 words of a held-out one goes, although the two are no near-duplicates."""
    originals = [random_text(seed, 300) for seed in range(40)]
    quoting = [" ".join(random_text(seed, 300).split()[100:160]) + " " + random_text(1000 + seed, 300) for seed in range(40)]
    curation = CurationConfig(heldout_overlap=OverlapConfig(words=50, han_characters=115))
    out = build(tmp_path, {"a": originals, "b": quoting}, HeldoutConfig(share=0.4, seed=3), curation)
    train, held = ([document["text"] for document in rows(out / side)] for side in ("train", "heldout"))

    def passages(texts: list[str]) -> set[tuple[str, ...]]:
        return {tuple(text.split()[at : at + 50]) for text in texts for at in range(len(text.split()) - 49)}

    assert not passages(train) & passages(held)
    lost = account_of(out, "a").dropped | account_of(out, "b").dropped
    assert set(lost) == {"overlaps_heldout"}
    listed = pq.read_table(out / "heldout_overlaps.parquet").to_pylist()
    held_ids = {document["id"] for document in rows(out / "heldout")}
    assert listed
    assert {row["item"] for row in listed} <= held_ids
    untouched = build(tmp_path / "off", {"a": originals, "b": quoting}, HALF)
    assert sum(len(rows(untouched / side)) for side in ("train", "heldout")) == 80


@pytest.mark.parametrize(
    "name",
    [
        "gsm8k_test.jsonl.gz",
        "icl_lambada_openai.jsonl.gz",
        "cmmlu.tar.gz",
        "cmrc2018_trial.json.gz",
        "hellaswag_val.txt.bz2",
    ],
)
def test_real_items_planted_in_real_text_are_found(name: str) -> None:
    """Every item long enough for a passage is found wherever it stands, and the text around it alone is not."""
    path = shared(f"eval/{name}")
    items = list(read_evaluation_texts([str(path)], "curation.decontaminate"))
    overlaps = Overlaps(PassageIndex((item.text for item in items), OverlapConfig()), [(i.file, i.item) for i in items])
    around = [
        "Preface of the second edition, with notes on the text and its readers.\n",
        "\n编者按：本文转自网络，文字略有改动。",
    ]
    long = [text for text in overlaps.index.texts if Passages.of(text, OverlapConfig()).hashes.size][::17]
    assert len(long) > 20
    for text in long:
        document = {"id": "d", "source": "s", "text": around[0] + text + around[1]}
        assert overlaps.found_in(document)
    assert not overlaps.found_in({"id": "d", "source": "s", "text": "".join(around)})
