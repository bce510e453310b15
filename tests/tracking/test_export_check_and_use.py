"""What leaves the registry, whether its lineage is still whole, and which models a text trained."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.artifacts import Published, Store, Workspace
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.recipe.recipe import Recipe
from lifecycle.tracking.checking import check
from lifecycle.tracking.export import export_model
from lifecycle.tracking.lineage import lineage
from lifecycle.tracking.use import used_by
from tests.tracking.chain import make_all, small_recipe
from tests.tracking.test_registry_and_lineage import BAD, GOOD, promote_made, record_all

MODEL = "small_dpo"


def reads(name: str, *ids: str) -> Callable[[Workspace], dict]:
    """A stage that writes one table of these ids."""

    def build(workspace: Workspace) -> dict:
        pq.write_table(pa.table({"id": list(ids)}), workspace.out / name)
        (workspace.out / "of").write_text(workspace.out.name)  # no two sources have the same rows
        return {}

    return build


@pytest.fixture
def made(tracking_uri: str, store: Store, recipe: Recipe) -> dict:
    made = make_all(recipe, store)
    record_all(tracking_uri, store, made)
    return made


def one(made: dict, stage: str) -> Published:
    return made[stage]


def test_a_folder_to_give_away_has_weights_card_licences_and_checksums(
    tracking_uri: str, store: Store, made: dict, tmp_path: Path
) -> None:
    promote_made(tracking_uri, store, one(made, "dpo_model"), GOOD)
    target = tmp_path / "out" / "model"
    assert export_model(tracking_uri, f"{MODEL}@champion", target).label == f"{MODEL}/1"
    assert (target / "data.txt").read_bytes() == (one(made, "dpo_model").artifact.path / "data.txt").read_bytes()
    assert "PSF-2.0" in (target / "LICENCES.md").read_text()
    assert "BSD-3-Clause" in (target / "LICENCES.md").read_text()
    card = (target / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers")
    assert "kind_of_object/acc" in card
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=target, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    with pytest.raises(LifecycleError, match="exists already"):
        export_model(tracking_uri, MODEL, target)
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_what_failed_its_gates_or_is_damaged_does_not_leave(
    tracking_uri: str, store: Store, made: dict, tmp_path: Path
) -> None:
    model = one(made, "dpo_model")
    promote_made(tracking_uri, store, model, BAD)
    with pytest.raises(LifecycleError, match=r"kind_of_object/acc is 0\.1"):
        export_model(tracking_uri, MODEL, tmp_path / "no")
    export_model(tracking_uri, MODEL, tmp_path / "yes", despite_gates=True)
    assert "Not for use" in (tmp_path / "yes" / "README.md").read_text()
    (model.artifact.path / "data.txt").write_text("another")
    with pytest.raises(CorruptArtifactError, match=r"data\.txt"):
        export_model(tracking_uri, MODEL, tmp_path / "no", despite_gates=True)
    assert sorted(path.name for path in tmp_path.iterdir() if "no" in path.name) == []


def test_a_check_hashes_everything_again_and_says_what_changed_or_is_gone(
    tracking_uri: str, store: Store, made: dict
) -> None:
    root = lineage(tracking_uri, MODEL)
    assert {each.state for each in check(root)} == {"whole", "not kept"}
    changed = one(made, "tokenizer").artifact.path / "data.txt"
    stat = changed.stat()
    changed.write_text(changed.read_text()[::-1])  # same size
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shutil.rmtree(one(made, "sft_memmap").artifact.path)
    wrong = {each.node.stage: each for each in check(root) if not each.good}
    assert {stage: each.state for stage, each in wrong.items()} == {"tokenizer": "changed", "sft_memmap": "gone"}
    assert str(changed) in wrong["tokenizer"].detail


def test_a_source_leads_to_every_model_made_from_it(tracking_uri: str, made: dict) -> None:
    uses = used_by(tracking_uri, "packages")
    assert {use.version.name for use in uses.found} == {"small_base", "small_sft", "small_dpo"}
    assert all("raw_corpora of packages" in " ".join(use.through) for use in uses.found)


def test_a_document_leads_to_the_models_that_were_trained_on_it_and_to_no_other(
    tracking_uri: str, store: Store, recipe: Recipe
) -> None:
    """A removal request must be answerable: also for a conversation that was made from the document."""

    def corpus(workspace: Workspace) -> dict:
        (workspace.out / "train").mkdir()
        pq.write_table(pa.table({"id": ["d1", "d2"]}), workspace.out / "train" / "documents-00000.parquet")
        return {}

    def conversations(workspace: Workspace) -> dict:
        pq.write_table(pa.table({"id": ["c1"], "document_id": ["d2"]}), workspace.out / "conversations.parquet")
        return {}

    build = {
        "raw_corpora": reads("documents-00000.parquet", "d1", "d2", "d3"),
        "corpus": corpus,
        "raw_instructions": reads("conversations.parquet", "c1"),
        "instructions": conversations,
        "raw_preferences": reads("pairs.parquet", "p1"),
        "preference_pairs": reads("train.parquet", "p1"),
    }
    made = make_all(recipe, store, build=build)
    record_all(tracking_uri, store, made)
    through = {use.version.name: use.through for use in used_by(tracking_uri, "d1").found}
    assert set(through) == {"small_base", "small_sft", "small_dpo"}
    through = {use.version.name: len(use.through) for use in used_by(tracking_uri, "d2").found}
    assert through == {"small_base": 1, "small_sft": 2, "small_dpo": 2}
    left_out = used_by(tracking_uri, "d3")
    assert (left_out.found, left_out.unread) == ((), ())
    read = {title.rpartition(" ")[0] for title in left_out.read}
    assert read
    assert read <= {"raw_corpora of packages", "raw_corpora of standard_library"}, "both read the same rows"
    with pytest.raises(LifecycleError, match=r"'d4' is no source .*\(packages, standard_library\), and no document"):
        used_by(tracking_uri, "d4")
    shutil.rmtree(one(made, "corpus").artifact.path)
    uses = used_by(tracking_uri, "d1")
    assert uses.found == ()
    assert "corpus" in {title.split()[0] for title in uses.unread}, "silence would look like a no"


LABELLED = """kto: {}
preferences: {sources: [{kind: files, name: labels, path: labels.jsonl, licence: ours}]}
"""
ADDED = """rounds: 2
added_instructions: [{round: 2, steps: 7, sources: [{kind: files, name: more, path: more.jsonl, licence: ours}]}]
"""


def test_what_was_not_chosen_trained_nothing_and_labels_train_only_kto(
    tracking_uri: str, store: Store, tmp_path: Path
) -> None:
    """`--used-by` named `instructions` also for a conversation that selection dropped, and never looked at KTO's labels."""

    chosen = "instructions:\n  embeddings: {kind: lexical}\n  selection: {keep: 0.5, by: {column: turns}}\n"
    recipe = small_recipe(tmp_path, lambda text: text.replace("instructions:\n", chosen) + LABELLED + ADDED)
    build = {
        "corpus": reads("x.parquet"),
        "instructions": reads("conversations.parquet", "kept", "dropped"),
        "selected_instructions": reads("conversations.parquet", "kept"),
        "instructions_r2": reads("conversations.parquet", "added"),
        "raw_preferences": reads("labels.parquet", "label"),
        "preference_pairs": reads("train.parquet", "pair"),
    }
    record_all(tracking_uri, store, make_all(recipe, store, build=build))
    assert used_by(tracking_uri, "dropped").found == ()
    assert {use.version.name for use in used_by(tracking_uri, "kept").found} == {"small_sft", "small_dpo", "small_kto"}
    assert {use.version.name for use in used_by(tracking_uri, "label").found} == {"small_kto"}
    added = used_by(tracking_uri, "added").found
    assert {use.through[0].split()[0] for use in added} == {"instructions_r2"}, "all of them are trained on"
    assert sorted(use.version.name for use in added) == ["small_dpo", "small_sft"], (
        "of two versions each, that of the second round"
    )
