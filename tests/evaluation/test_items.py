"""Evaluation items and the held-out text that they are made from."""

import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.corpora.documents import DocumentWriter, iter_documents
from lifecycle.errors import DataError
from lifecycle.evaluation.heldout import build_heldout_text
from lifecycle.evaluation.items import read_items
from tests.tokens.small_corpus import HAN, hashes, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("heldout")
    return out, build_heldout_text(corpus, 50_000, 60, 40, 23, out, tmp_path_factory.mktemp("run"))


def test_kinds_are_balanced_and_the_choices_are_the_words_taught(built):
    items = read_items(built[0] / "items" / "kind_of_object.jsonl")
    assert {item.choices for item in items} == {("class", "function", "module")}
    assert len(set(Counter(item.gold for item in items).values())) == 1
    assert len(items) <= 60


def test_no_answer_said_always_scores_in_first_word_match(built):
    items = read_items(built[0] / "items" / "first_word_match.jsonl")
    assert max(Counter(item.target for item in items).values()) <= 3
    assert all(item.target and item.target in item.prompt for item in items)


def test_win_rate_prompts_have_references_and_every_item_comes_from_held_out_text(built, corpus: Path):
    held = {document["id"] for document in iter_documents(corpus / "heldout", ["id"])}
    seen = 0
    for path in sorted((built[0] / "items").glob("*.jsonl")):
        items = read_items(path)
        assert len({item.id for item in items}) == len(items)
        assert {item.document_id for item in items} <= held
        seen += len(items)
    references = read_items(built[0] / "items" / "win_rate.jsonl")
    assert len(references) == 40
    assert all(item.target for item in references)
    assert "reference" in json.loads((built[0] / "items" / "win_rate.jsonl").read_text().splitlines()[0])
    assert seen == sum(task["items"] for task in built[1]["items"].values())


def test_compressors_are_measured_on_exactly_the_text_of_text_jsonl(built):
    out, facts = built
    text = "".join(json.loads(line)["text"] for line in (out / "text.jsonl").open()).encode()
    assert len(text) == facts["bytes"] <= 50_000
    assert facts["gzip_bits_per_byte"] == round(8 * len(gzip.compress(text, 9, mtime=0)) / len(text), 4)
    assert facts["xz_bits_per_byte"] == round(8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text), 4)
    assert facts["xz_bits_per_byte"] < facts["gzip_bits_per_byte"]


def test_all_held_out_documents_are_kept_whatever_is_measured(built, corpus: Path):
    stored = pq.read_table(built[0] / "documents.parquet").to_pylist()
    original = list(iter_documents(corpus / "heldout"))
    assert sorted(stored, key=lambda d: d["id"]) == sorted(original, key=lambda d: d["id"])


def test_same_input_same_bytes(built, corpus: Path, tmp_path: Path):
    build_heldout_text(corpus, 50_000, 60, 40, 23, tmp_path, tmp_path.parent / "run")
    assert hashes(tmp_path) == hashes(built[0])


def test_text_without_documented_objects_gives_bits_per_byte_and_says_which_tasks_are_missing(tmp_path: Path):
    with DocumentWriter(tmp_path / "heldout") as writer:
        for number in range(40):
            text = f"{number}" + "".join(HAN)
            writer.add({"id": f"{number}", "text": text, "source": "zh", "lang": "zh", "group": f"{number}", "meta": "{}"})
    (tmp_path / "out").mkdir()
    facts = build_heldout_text(tmp_path, 50_000, 60, 40, 23, tmp_path / "out", tmp_path / "run")
    assert facts["items"] == {}
    assert set(facts["missing"]) == {"kind_of_object", "first_word_match", "win_rate"}
    assert not (tmp_path / "out" / "items").exists()
    assert facts["gzip_bits_per_byte"] > 0


def test_too_little_held_out_text_says_what_to_change(tmp_path: Path):
    with DocumentWriter(tmp_path / "heldout") as writer:
        writer.add({"id": "a", "text": "short", "source": "s", "group": "a", "meta": "{}"})
    with pytest.raises(DataError, match=r"raise curation\.heldout\.share or curation\.heldout\.max_bytes"):
        build_heldout_text(tmp_path, 50_000, 60, 40, 23, tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"items\.jsonl:2: not valid JSON"),
        ('{"id": "a", "task": "t", "prompt": "p"}', r"items\.jsonl:2: .*needs choices and gold, or target"),
        ('{"id": "a", "task": "t", "prompt": "p", "choices": ["x"], "gold": 1}', r":2: .*gold 1 is not an index"),
        ('{"id": "a", "task": "t", "target": "x"}', r":2: prompt: Field required"),
        ('{"id": "a", "task": "t", "prompt": "p", "target": "x", "extra": 1}', r":2: extra: Extra inputs"),
    ],
)
def test_a_bad_item_names_file_line_and_field(tmp_path: Path, line: str, problem: str):
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": "a", "task": "t", "prompt": "p", "target": "x"}\n' + line + "\n")
    with pytest.raises(DataError, match=problem):
        read_items(path)


def test_a_missing_or_empty_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="cannot read the evaluation items"):
        read_items(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no evaluation item"):
        read_items(tmp_path / "empty.jsonl")
