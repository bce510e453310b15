"""The champion moves only with passed gates on record, and lineage reaches the raw bytes from MLflow alone."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lifecycle.artifacts import Published, Store
from lifecycle.errors import LifecycleError
from lifecycle.recipe.base import Section
from lifecycle.recipe.recipe import Recipe
from lifecycle.tracking.connection import connect
from lifecycle.tracking.gate_tags import read_gates
from lifecycle.tracking.lineage import LineageNode, lineage
from lifecycle.tracking.promotion import Promotion, promote, promote_version, rollback
from lifecycle.tracking.registry import find_version
from lifecycle.tracking.rendering import render_json, render_mermaid, render_tree
from lifecycle.tracking.runs import record
from tests.tracking.chain import SNAPSHOTS, make_all, small_recipe, writes


class Outcome(Section):
    """A gate as the report gives it."""

    metric: str
    value: float
    passed: bool
    blocking: bool = True

    @property
    def said(self) -> str:
        return f"{self.metric} is {self.value:g}"

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return super().model_dump(**options) | {"said": self.said}


GOOD = [
    Outcome(metric="kind_of_object/acc", value=0.8, passed=True),
    Outcome(metric="x", value=0, passed=False, blocking=False),
]
BAD = [Outcome(metric="kind_of_object/acc", value=0.1, passed=False)]


def record_all(uri: str, store: Store, made: dict) -> None:
    for stage, published in made.items():
        parts = {None: published} if isinstance(published, Published) else published
        for source, each in parts.items():
            tags = {"lifecycle.partition": source} if source else {}
            assert record(uri, each, asset=f"small/{stage}", recipe_name="small", tags=tags, store_root=store.root)


def _version(uri: str, store: Store, weights: str) -> Published:
    published = store.materialize("dpo_model", "1", {"weights": weights}, (), writes(weights))
    record(uri, published, asset="small/dpo_model", recipe_name="small", tags={}, store_root=store.root)
    return published


def promote_made(uri: str, store: Store, model: Published, gates: list[Outcome]) -> Promotion:
    artifact = model.artifact
    return promote(
        uri, "small_dpo", artifact.fingerprint, artifact.digest, lambda _: gates, report="r" * 32, store_root=store.root
    )


def test_the_champion_moves_only_when_the_blocking_gates_of_that_very_version_hold(tracking_uri: str, store: Store) -> None:
    first = _version(tracking_uri, store, "one")
    refused = promote_made(tracking_uri, store, first, BAD)
    assert (refused.moved, refused.champion) == (False, None)
    assert "kind_of_object/acc" in refused.reason
    assert "0.1" in refused.reason
    moved = promote_made(tracking_uri, store, first, GOOD)
    assert (moved.moved, moved.champion, moved.champion_digest) == (True, "small_dpo/1", first.artifact.digest)
    second = _version(tracking_uri, store, "two")
    refused = promote_made(tracking_uri, store, second, BAD)
    assert (refused.moved, refused.champion) == (False, "small_dpo/1"), "a refusal leaves the champion as it was"
    moved = promote_made(tracking_uri, store, second, GOOD)
    assert (moved.moved, moved.champion, moved.previous) == (True, "small_dpo/2", "small_dpo/1")
    again = promote_made(tracking_uri, store, second, GOOD)
    assert (again.moved, again.champion, again.previous) == (False, "small_dpo/2", "small_dpo/1")
    assert find_version(tracking_uri, "small_dpo@previous").version == "1"
    assert find_version(tracking_uri, "small_dpo@champion").aliases == ("candidate", "champion")


def test_no_gate_outcome_is_no_permission_and_an_unknown_digest_is_refused(tracking_uri: str, store: Store) -> None:
    model = _version(tracking_uri, store, "one")
    assert "0 gate outcome(s)" in promote_made(tracking_uri, store, model, []).reason
    fingerprint, report = model.artifact.fingerprint, "r" * 32
    other = promote(tracking_uri, "small_dpo", fingerprint, "0" * 32, lambda _: GOOD, report=report, store_root=store.root)
    assert (other.moved, other.champion) == (False, None)
    assert "0" * 32 in other.reason


def test_by_hand_the_gates_on_record_decide_and_damaged_files_refuse(tracking_uri: str, store: Store) -> None:
    """A materialization in another run cannot slip past: nothing but what is on record for this version counts."""
    bad, first, second = (_version(tracking_uri, store, weights) for weights in ("bad", "one", "two"))
    assert "0 gate outcome(s)" in promote_version(tracking_uri, "small_dpo/1", store).reason
    promote_made(tracking_uri, store, bad, BAD)
    refused = promote_version(tracking_uri, "small_dpo/1", store)
    assert (refused.moved, refused.champion) == (False, None)
    assert "gate failed: kind_of_object/acc is 0.1" in refused.reason
    promote_made(tracking_uri, store, first, GOOD)
    client = connect(tracking_uri)
    client.delete_model_version_tag("small_dpo", "2", "lifecycle.gate.1")
    assert "1 gate outcome(s) are on record where 2" in promote_version(tracking_uri, "small_dpo/2", store).reason
    promote_made(tracking_uri, store, second, GOOD)
    assert promote_version(tracking_uri, "small_dpo@candidate", store).champion == "small_dpo/3"
    (second.artifact.path / "data.txt").write_text("xyz")
    refused = promote_version(tracking_uri, "small_dpo/3", store)
    assert "does not match the manifest" in refused.reason


def test_more_than_ten_gates_stay_in_the_order_of_the_recipe(tracking_uri: str, store: Store) -> None:
    model = _version(tracking_uri, store, "one")
    gates = [Outcome(metric=f"m{number}", value=number, passed=True) for number in range(12)]
    assert promote_made(tracking_uri, store, model, gates).moved
    assert [gate["metric"] for gate in read_gates(connect(tracking_uri), "small_dpo", "1")] == [
        f"m{number}" for number in range(12)
    ]


def test_rollback_brings_the_previous_champion_back_and_is_its_own_reverse(tracking_uri: str, store: Store) -> None:
    first, second = (_version(tracking_uri, store, weights) for weights in ("one", "two"))
    promote_made(tracking_uri, store, first, GOOD)
    with pytest.raises(LifecycleError, match="no alias 'previous'"):
        rollback(tracking_uri, "small_dpo", store)
    promote_made(tracking_uri, store, second, GOOD)
    back = rollback(tracking_uri, "small_dpo", store)
    assert (back.moved, back.champion, back.previous) == (True, "small_dpo/1", "small_dpo/2")
    shutil.rmtree(second.artifact.path)
    refused = rollback(tracking_uri, "small_dpo", store)
    assert (refused.moved, refused.champion) == (False, "small_dpo/1")
    assert "is not in" in refused.reason


def test_promotion_catches_up_with_models_that_wait_for_the_server(tracking_uri: str, store: Store) -> None:
    published = store.materialize("dpo_model", "1", {}, (), writes("weights"))
    unreachable = "http://127.0.0.1:9"
    assert record(unreachable, published, asset="d", recipe_name="small", tags={}, store_root=store.root) is None
    assert promote_made(tracking_uri, store, published, GOOD).moved


def test_lineage_reaches_every_raw_source_without_the_store(tracking_uri: str, store: Store, recipe: Recipe) -> None:
    record_all(tracking_uri, store, make_all(recipe, store))
    shutil.rmtree(store.root)
    node = lineage(tracking_uri, "small_dpo@candidate")
    nodes = {each.key: each for each in _walk(node)}
    raw = {each.source: each.digest for each in nodes.values() if each.stage == "snapshot"}
    assert raw == SNAPSHOTS, "full digests, though MLflow's own column holds 36 characters"
    assert all(each.recorded for each in nodes.values())
    stages = {each.stage for each in nodes.values()}
    assert stages == {
        *("snapshot", "raw_corpora", "cleaned_corpora", "corpus", "tokenizer", "pretrain_memmap", "base_model"),
        *("heldout_text", "raw_instructions", "instructions", "sft_memmap", "sft_model"),
        *("raw_preferences", "preference_pairs", "dpo_model"),
    }
    snapshot = next(each for each in nodes.values() if each.source == "packages" and each.stage == "snapshot")
    assert snapshot.details["licence"] == "BSD-3-Clause"
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_tree(node))
    text = console.export_text()
    assert text.count("raw_corpora of packages") == 1, "what is reached on several ways is unfolded once"
    assert "snapshot of packages" in text
    assert SNAPSHOTS["packages"][:12] in text
    data = json.loads(render_json(node))
    assert data["nodes"][data["root"]]["stage"] == "dpo_model"
    assert {each["digest"] for each in data["nodes"].values() if each["stage"] == "snapshot"} == set(SNAPSHOTS.values())
    mermaid = render_mermaid(node).splitlines()
    assert mermaid[0] == "flowchart LR"
    assert sum("-->" in line for line in mermaid) == sum(len(each.inputs) for each in nodes.values())


def test_models_of_all_rounds_are_versions_of_one_and_know_where_they_come_from(
    tracking_uri: str, store: Store, tmp_path: Path
) -> None:
    made = make_all(small_recipe(tmp_path, lambda text: text + "rounds: 2\n"), store)
    record_all(tracking_uri, store, {name: made[name] for name in ("dpo_model", "preference_pairs_r2", "dpo_model_r2")})
    node = lineage(tracking_uri, "small_dpo@candidate")
    assert (node.name, node.stage) == ("small_dpo/2", "dpo_model_r2")
    assert {each.stage for each in node.inputs} == {"dpo_model", "preference_pairs_r2"}
    assert lineage(tracking_uri, "small_dpo/1").stage == "dpo_model"


def test_a_gap_in_the_records_is_shown_and_not_passed_over(tracking_uri: str, store: Store, recipe: Recipe) -> None:
    made = make_all(recipe, store, until="base_model")
    del made["corpus"]
    record_all(tracking_uri, store, made)
    node = lineage(tracking_uri, "small_base")
    missing = {each.stage for each in _walk(node) if not each.recorded}
    assert missing == {"corpus"}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_tree(node))
    assert "no run in MLflow made this digest" in console.export_text()


def test_unknown_names_are_answered_with_the_known_ones(tracking_uri: str, store: Store) -> None:
    with pytest.raises(LifecycleError, match="none yet"):
        lineage(tracking_uri, "small_dpo")
    _version(tracking_uri, store, "one")
    with pytest.raises(LifecycleError, match=r"no registered model 'smal_dpo'.*small_dpo"):
        lineage(tracking_uri, "smal_dpo")
    with pytest.raises(LifecycleError, match=r"no alias 'champion'.*candidate"):
        lineage(tracking_uri, "small_dpo@champion")
    with pytest.raises(LifecycleError, match=r"no version '7'.*1"):
        lineage(tracking_uri, "small_dpo/7")


def _walk(node: LineageNode):
    yield node
    for item in node.inputs:
        yield from _walk(item)


def test_reading_makes_no_database(tmp_path: Path) -> None:
    """`lifecycle lineage` in an empty directory left an MLflow database behind."""
    with pytest.raises(LifecycleError, match="nothing has been recorded yet"):
        lineage(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}", "demo_dpo@champion")
    assert not (tmp_path / "home").exists()
