"""Mistakes in a recipe end in one clear error that names the field, before anything is spent."""

from pathlib import Path

import pytest
import yaml

from tests.graph_home import RECIPE, Home, make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("name: tiny\n", "name: tiny\nlerning_rate: 3\n", ["lerning_rate"]),
        ("steps: 24", "steps: many", ["base_model.training.steps"]),
        ("${TINY_CHINESE}", "/nowhere/*.jsonl", ["chinese", "path", "/nowhere/*.jsonl"]),
        ("vocab_size: 1024", "vocab_size: 70000, dtype: uint16", ["tokenizer", "70000", "uint16"]),
        ("max_tokens: 512", "max_tokens: 4000", ["instructions.max_tokens", "4000", "sft.training.sequence_length"]),
        ("kind_of_object/acc", "kind_of_objekt/acc", ["gates", "kind_of_objekt/acc"]),
        ("${TINY_CHINESE}", "/data/[abc]/nothing", ["/data/[abc]/nothing"]),
    ],
    ids=[
        "unknown field",
        "wrong type",
        "path matches nothing",
        "vocabulary over dtype",
        "conversations longer than a sequence",
        "gate on nothing",
        "brackets survive printing",
    ],
)
def test_mistake_is_named(home: Home, tmp_path: Path, old: str, new: str, named: list[str]) -> None:
    text = RECIPE.read_text(encoding="utf-8")
    assert old in text
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    done = home.run("plan", "--recipe", str(bad))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "Traceback" not in said
    for word in named:
        assert word in said, said


def test_empty_corpus_is_named(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    recipe = tmp_path / "empty.yaml"
    data = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    data["sources"] = [{"name": "chinese", "kind": "jsonl", "path": str(empty), "language": "zh", "licence": "none"}]
    data["instructions"]["sources"] = [yaml.safe_load(instruction_file(tmp_path))]
    data["preferences"]["sources"] = []
    data["gates"] = [{"metric": "heldout_bits_per_byte/x", "at_most": 9}]
    for section in ("curation", "kto"):
        data.pop(section, None)
    recipe.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    done = home.run("run", "--recipe", str(recipe))
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "chinese" in said
    assert "no document" in said
    assert "Traceback" not in done.stdout


def instruction_file(directory: Path) -> str:
    path = directory / "instructions.jsonl"
    path.write_text('{"instruction": "Say hello.", "input": "", "output": "Hello."}\n', encoding="utf-8")
    return f"{{kind: files, name: own, path: '{path}', licence: none}}"
