"""The sets of the post-training sample recipe, read and cleaned: nothing is lost without an account."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.corpora.snapshot import source_files
from lifecycle.instructions.clean import build_instructions
from lifecycle.instructions.conversations import read_conversations
from lifecycle.instructions.identity import foreign
from lifecycle.instructions.raw import build_raw_instructions
from lifecycle.instructions.scores import read_scores
from lifecycle.ledger import Ledger, chain
from lifecycle.preferences.raw import build_raw_preferences
from lifecycle.preferences.table import LABELS, RAW, read_labels, read_pairs
from lifecycle.recipe.recipe import load_recipe
from tests.shared_data import ROOT, shared

PATH = Path(__file__).parents[2] / "deploy" / "recipes" / "posttraining-sample.yaml"
RECIPE = load_recipe(PATH)
SOURCES = tuple(source for source in RECIPE.instructions.sources if source.kind != "documented_objects")
LARGE = ("alpaca_scored", "medical_table")
"""Two thirds of all rows; that they read whole is tested beside the readers."""
INSTRUCTIONS = RECIPE.instructions.model_copy(
    update={"sources": tuple(source for source in SOURCES if getattr(source, "name", None) not in LARGE)}
)
PREFERENCES = tuple(source for source in RECIPE.preferences.sources if source.kind == "files")


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_DATA", str(ROOT))
    shared("sft")
    shared("pref")


@pytest.mark.slow
def test_instruction_sets_are_read_and_cleaned(data: None, tokenizer: Path, tmp_path: Path, capsys):
    for name in ("raw", "out", "heldout"):
        (tmp_path / name).mkdir()
    (tmp_path / "heldout" / "groups.json").write_text('{"groups": [], "documents": []}')
    build_raw_instructions(tmp_path, INSTRUCTIONS, tmp_path / "raw", tmp_path / "run")
    build_instructions(tmp_path / "raw", tokenizer, tmp_path / "heldout", INSTRUCTIONS, tmp_path / "out", tmp_path / "run")
    kept = read_conversations(tmp_path / "out")
    read, cleaned = Ledger.read(tmp_path / "raw").sources, Ledger.read(tmp_path / "out").sources
    whole = {before.source: chain([before, after]) for before, after in zip(read, cleaned, strict=True)}
    assert len(whole) == len(INSTRUCTIONS.sources)
    assert all(each.kept for each in whole.values())
    assert sum(each.kept for each in whole.values()) == len(kept)
    assert not [conversation for conversation in kept if foreign(conversation, INSTRUCTIONS.identity)]
    assert "{{" not in "".join(each.text() for each in kept if each.source == "identity_templates")
    decisions = read_scores(tmp_path / "out")["decision"].to_pylist()
    assert len(decisions) == sum(each.kept for each in read)
    assert decisions.count("kept") == len(kept)
    with capsys.disabled():
        for name, each in whole.items():
            print(
                f"\n{name:20} {each.read:6} read {each.kept:6} kept {each.languages} {each.dropped} {each.changed}", end=""
            )


def test_every_preference_set_is_read(data: None, tmp_path: Path):
    facts = build_raw_preferences(tmp_path, PREFERENCES, tmp_path, tmp_path / "run")
    ledgers = {each.source: each for each in Ledger.read(tmp_path).sources}
    assert set(ledgers) == {source.name for source in PREFERENCES}
    assert all(each.kept for each in ledgers.values())
    assert facts["rows"] == len(read_pairs(tmp_path / RAW)) > 5000
    assert facts["labels"] == len(read_labels(tmp_path / LABELS)) == ledgers["labels_en"].kept


def test_every_file_of_both_folders_is_a_source(data: None):
    files = [source for source in (*SOURCES, *PREFERENCES) if source.kind == "files"]
    read = {location for source in files for location, _ in source_files(source)}
    here = {path for folder in ("sft", "pref") for path in shared(folder).iterdir()}
    assert {path.name for path in here - read} == {"phasedsft_alpaca52k_meta.json.txt"}


def test_it_is_planned_with_phases_and_selection_beside_chance(data: None, tmp_path: Path):
    """A control of either decision needs that decision in the recipe: without it the report would show one curve less."""
    assert RECIPE.sft.phases is not None
    assert RECIPE.instructions.selection is not None
    done = CliRunner().invoke(app, ["plan", "--recipe", str(PATH), "--home", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    planned = {line["stage"]: line["why"] for line in json.loads(done.stdout)}
    assert "instruction_embeddings" in planned["sft_controls"]
    assert "sft_controls" in planned["eval_report"]
