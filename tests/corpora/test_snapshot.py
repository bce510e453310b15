"""The first link of every lineage: what a source would read."""

import shutil
import time
from pathlib import Path

import pytest

from lifecycle.corpora.snapshot import file_snapshots, snapshot
from lifecycle.errors import DataError
from lifecycle.recipe.alignment import InstructionFiles
from lifecycle.recipe.recipe import load_recipe
from tests.corpora.reading import read, source

ROOT = Path(__file__).parents[2]


def test_same_bytes_elsewhere_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe moved to another machine must not read as new data."""
    one, two = tmp_path / "one", tmp_path / "somewhere" / "else"
    (one / "sub").mkdir(parents=True)
    (one / "b.txt").write_text("b")
    (one / "sub" / "a.txt").write_text("a")
    (one / ".hidden").write_text("left out")
    shutil.copytree(one, two)
    monkeypatch.setenv("TEXT_HOME", str(two))
    here = snapshot(source(kind="text", path=str(one)))
    assert here == snapshot(source(kind="text", path="${TEXT_HOME}"))
    assert [file.path for file in here.files] == ["b.txt", "sub/a.txt"]
    assert snapshot(source(kind="text", path=f"{one}/**/*.txt")) == snapshot(source(kind="text", path="$TEXT_HOME/**/*.txt"))
    (two / "b.txt").write_text("B")
    assert snapshot(source(kind="text", path="$TEXT_HOME")).digest != here.digest
    (two / "b.txt").rename(two / "c.txt")
    (two / "c.txt").write_text("b")
    assert snapshot(source(kind="text", path="$TEXT_HOME")).digest != here.digest


def test_the_reader_reads_what_the_snapshot_saw(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/1.txt", "a/10.txt", "c.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    documents, _ = read(tmp_path, kind="text", path=str(tmp_path / "in"))
    seen = snapshot(source(kind="text", path=str(tmp_path / "in")))
    assert [document["text"] for document in documents] == [file.path for file in seen.files]


@pytest.mark.parametrize("path", ["{}/nothing/*.txt", "{}/missing.txt", "{}"])
def test_a_path_that_matches_nothing_is_named(tmp_path: Path, path: str) -> None:
    full = path.format(tmp_path)
    with pytest.raises(DataError, match="source sample, field path") as caught:
        snapshot(source(kind="text", path=full))
    assert full in str(caught.value)


def test_an_unset_or_empty_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable once meant the current directory, taken whole."""
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    with pytest.raises(DataError, match=r"\$\{NO_SUCH_PLACE\}.*not set"):
        snapshot(source(kind="jsonl", path="${NO_SUCH_PLACE}/a.jsonl"))
    monkeypatch.setenv("NO_SUCH_PLACE", "")
    with pytest.raises(DataError, match="is empty"):
        snapshot(source(kind="jsonl", path="${NO_SUCH_PLACE}"))


def test_file_sources_of_other_stages(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    entry = InstructionFiles(kind="files", name="mine", path=str(tmp_path), licence="mine")
    assert file_snapshots([entry, object()]) == {"mine": snapshot(entry).digest}


def test_the_embedded_recipe_is_hashed_quickly() -> None:
    """Every `plan` pays this. Two seconds on two quiet cores; the limit here leaves room for busy ones."""
    recipe = load_recipe(ROOT / "deploy" / "recipes" / "demo.yaml")
    started = time.process_time()
    digests = {entry.name: snapshot(entry).digest for entry in recipe.sources}
    assert time.process_time() - started < 6
    assert len(set(digests.values())) == 3
