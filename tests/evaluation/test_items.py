"""Evaluation items and the held-out text that they are made from."""

import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import stages
from lifecycle.corpora.documents import DocumentWriter, iter_documents
from lifecycle.errors import DataError
from lifecycle.evaluation.drawn import balanced, draw_heldout, varied
from lifecycle.evaluation.heldout import build_heldout_text
from lifecycle.evaluation.items import EvaluationItem, evaluation_prompts, read_items
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.recipe.recipe import load_recipe
from tests.tokens.small_corpus import HAN, hashes, write_corpus

DEMO = Path(__file__).parents[2] / "deploy" / "recipes" / "demo.yaml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("heldout")
    return out, build_heldout_text(corpus, 50_000, 23, out, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def drawn(built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = EvaluationConfig(max_items=60, win_rate_prompts=40)
    return draw_heldout(built[0], config, tmp_path_factory.mktemp("drawn"))


def test_kinds_are_balanced_and_the_choices_are_the_words_taught(drawn: Path):
    items = read_items(drawn / "items" / "kind_of_object.jsonl")
    assert {item.choices for item in items} == {("class", "function", "module")}
    assert len(set(Counter(item.gold for item in items).values())) == 1
    assert len(items) <= 60


def test_no_answer_said_always_scores_in_first_word_match(drawn: Path):
    items = read_items(drawn / "items" / "first_word_match.jsonl")
    assert max(Counter(item.target for item in items).values()) <= 3
    assert all(item.target and item.target in item.prompt for item in items)


def test_how_many_items_are_asked_is_the_evaluations_matter_and_training_sees_none_of_them(built, tmp_path: Path):
    """`max_items` was part of the held-out text: another number trained every model again."""
    kept = evaluation_prompts(built[0])
    for count in (21, 30, 48):
        folder = draw_heldout(built[0], EvaluationConfig(max_items=count, win_rate_prompts=count), tmp_path / str(count))
        assert (folder / "text.jsonl").read_bytes() == (built[0] / "text.jsonl").read_bytes()
        asked = [read_items(path) for path in sorted((folder / "items").glob("*.jsonl"))]
        assert [len(items) for items in asked] == [count, count, count]
        assert {item.prompt for items in asked for item in items} <= kept
        assert draw_heldout(built[0], EvaluationConfig(max_items=count, win_rate_prompts=count), tmp_path / "2") != folder
        assert hashes(tmp_path / "2" / "heldout") == hashes(folder)
    demo = load_recipe(DEMO)
    more = demo.model_copy(update={"evaluation": EvaluationConfig(max_items=900, win_rate_prompts=300)})
    assert stages.HELDOUT_TEXT.identity(more, None) == stages.HELDOUT_TEXT.identity(demo, None)


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=60), st.integers(1, 40))
def test_whatever_the_candidates_no_answer_is_more_common_than_it_may_be(targets: list[str], count: int):
    kinds = ("a", "b", "c", "d")
    items = [EvaluationItem(id=str(n), task="t", prompt=str(n), choices=kinds, gold=kinds.index(each), target=each)
             for n, each in enumerate(targets)]  # fmt: skip
    even = Counter(item.gold for item in balanced(items, count, 7))
    assert len(set(even.values())) <= 1
    assert sum(even.values()) <= count
    chosen = varied(items, count)
    assert max(Counter(item.target for item in chosen).values(), default=0) <= max(1, round(0.05 * count))
    assert [item.id for item in chosen] == sorted((item.id for item in chosen), key=int)


def test_win_rate_prompts_have_references_and_every_item_comes_from_held_out_text(built, corpus: Path):
    held = {document["id"] for document in iter_documents(corpus / "heldout", ["id"])}
    seen = 0
    for path in sorted((built[0] / "items").glob("*.jsonl")):
        items = read_items(path)
        assert len({item.id for item in items}) == len(items)
        assert {item.document_id for item in items} <= held
        seen += len(items)
    references = read_items(built[0] / "items" / "win_rate.jsonl")
    assert len(references) > 40
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
    build_heldout_text(corpus, 50_000, 23, tmp_path, tmp_path.parent / "run")
    assert hashes(tmp_path) == hashes(built[0])


def test_text_without_documented_objects_gives_bits_per_byte_and_says_which_tasks_are_missing(tmp_path: Path):
    with DocumentWriter(tmp_path / "heldout") as writer:
        for number in range(40):
            text = f"{number}" + "".join(HAN)
            writer.add({"id": f"{number}", "text": text, "source": "zh", "lang": "zh", "group": f"{number}", "meta": "{}"})
    (tmp_path / "out").mkdir()
    facts = build_heldout_text(tmp_path, 50_000, 23, tmp_path / "out", tmp_path / "run")
    assert facts["items"] == {}
    assert set(facts["missing"]) == {"kind_of_object", "first_word_match", "win_rate"}
    assert not (tmp_path / "out" / "items").exists()
    assert facts["gzip_bits_per_byte"] > 0


def test_too_little_held_out_text_says_what_to_change(tmp_path: Path):
    with DocumentWriter(tmp_path / "heldout") as writer:
        writer.add({"id": "a", "text": "short", "source": "s", "group": "a", "meta": "{}"})
    with pytest.raises(DataError, match=r"raise curation\.heldout\.share or curation\.heldout\.max_bytes"):
        build_heldout_text(tmp_path, 50_000, 23, tmp_path, tmp_path / "run")


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
