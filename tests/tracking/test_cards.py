"""Cards: what a version, its run and an exported folder say of a model, and that the model itself stays as it was."""

import logging
from pathlib import Path

import pytest

from lifecycle.artifacts import Store
from lifecycle.evaluation.gates import decide_gates
from lifecycle.recipe.gates import Gate
from lifecycle.tracking.card_records import card_path, update_cards
from lifecycle.tracking.cards import CUT, DESCRIPTION_CHARACTERS, About, fitting, judged
from lifecycle.tracking.connection import connect
from lifecycle.tracking.export import export_model
from lifecycle.tracking.models import model_id_of
from lifecycle.tracking.promotion import promote
from tests.tracking.chain import small_recipe
from tests.tracking.judged import Judged, judged_life
from tests.tracking.test_registry_and_lineage import record_all

ABOUT = About("small", "For the test.", "Only to be tested; not for people.")


@pytest.fixture
def life(store: Store, tmp_path: Path) -> Judged:
    return judged_life(small_recipe(tmp_path), store, 0.6)


def promote_judged(uri: str, store: Store, life: Judged) -> None:
    gates = decide_gates(life.report.path, [Gate(metric="kind_of_object/acc", at_least=0.4)])
    model, report = life.model, life.report.fingerprint
    assert promote(
        uri, "small_dpo", model.fingerprint, model.digest, lambda _: gates, report=report, store_root=store.root
    ).moved


def test_a_version_has_lineage_digest_recipe_figures_and_card_and_an_exported_folder_has_them_all(
    tracking_uri: str, store: Store, life: Judged, tmp_path: Path
) -> None:
    record_all(tracking_uri, store, {name: life.made[name] for name in ("base_model", "sft_model", "dpo_model", "dpo_eval")})
    update_cards(tracking_uri, store, ABOUT, life.report)
    promote_judged(tracking_uri, store, life)
    client = connect(tracking_uri)
    version = client.get_model_version("small_dpo", "1")
    assert version.tags["lifecycle.digest"] == life.model.digest
    assert version.tags["lifecycle.recipe"] == "small"
    assert version.tags["lifecycle.eval_report"] == life.report.fingerprint
    assert '"name": "final_kind_of_object_acc_at_least"' in version.tags["lifecycle.gate.0"]
    run = client.get_run(version.run_id)
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"sft_model", "preference_pairs"}
    assert len(run.inputs.model_inputs) == 1, "the SFT model"
    figures = {each.key: each.value for each in client.get_logged_model(model_id_of(run)).metrics or []}
    assert figures["kind_of_object/acc"] == 0.6
    (sft,) = client.search_model_versions("name = 'small_sft'")
    of_sft = client.get_logged_model(sft.tags["lifecycle.model_id"])
    assert not of_sft.metrics, "dpo_eval also reads it, and measured another"
    whole = card_path(store, life.model.fingerprint, "small").read_text()
    assert Path(client.download_artifacts(version.run_id, "model_card.md")).read_text() == whole
    for text in (whole, version.description):
        assert "For the test." in text
        assert "Only to be tested; not for people." in text
        assert "| kind\\_of\\_object/acc | 0.600 (0.544–0.654) | 0.300 (0.251–0.354) | 0.333 |" in text
        assert "Worse than sft at kind_of_object/acc: 0.6 against 0.7" in text
    assert "Not clearly better than chance (0.333) at kind_of_object/acc" in (
        client.get_model_version("small_base", "1").description
    )
    assert "| packages | raw_corpora | BSD-3-Clause |" in whole
    assert "| dpo_model | – | 1 | 7 | – |" in whole
    assert "1.0000 cpu x 100" in whole, "36 s of 100 processes are an hour"
    assert f"| sft_model | 14 | `{life.made['sft_model'].artifact.digest}` |" in whole
    assert "**Verdict:** small_dpo/1 is the champion now" in version.description
    export_model(tracking_uri, "small_dpo@champion", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert whole in card
    assert "kind_of_object/acc of dpo is 0.6, must be at least 0.4" in card


def test_a_card_never_touches_the_model(tracking_uri: str, store: Store, life: Judged) -> None:
    record_all(tracking_uri, store, {"dpo_model": life.made["dpo_model"]})
    files = {path: path.read_bytes() for path in life.model.path.rglob("*") if path.is_file()}
    update_cards(tracking_uri, store, ABOUT, life.report)
    assert {path: path.read_bytes() for path in life.model.path.rglob("*") if path.is_file()} == files
    found = store.find("dpo_model", life.model.fingerprint)
    assert found is not None
    assert found.artifact.digest == life.model.digest


def test_a_registry_that_does_not_answer_costs_a_warning_and_is_caught_up(
    tracking_uri: str, store: Store, life: Judged, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        update_cards("http://127.0.0.1:9", store, ABOUT, life.report)
    assert "not in MLflow" in caplog.text
    whole = card_path(store, life.model.fingerprint, "small").read_text()
    assert "Only to be tested" in whole
    record_all(tracking_uri, store, {"dpo_model": life.made["dpo_model"]})
    assert connect(tracking_uri).get_model_version("small_dpo", "1").description.startswith(whole[:200])
    update_cards(tracking_uri, store, About("small", "Said otherwise."), life.report)
    assert "Said otherwise." in connect(tracking_uri).get_model_version("small_dpo", "1").description


def test_what_mlflow_keeps_is_cut_before_the_verdict_and_says_where_the_rest_is():
    """Postgres refuses a description of more than 5,000 characters; SQLite hid that."""
    gates = [{"name": f"gate_{number}", "said": "x" * 150, "passed": True} for number in range(10)]
    card = judged("\n".join(["a line of the card"] * 400), gates, "promoted")
    short = fitting(card)
    assert len(short) <= DESCRIPTION_CHARACTERS
    assert CUT in short
    assert short.endswith("**Verdict:** promoted")
    assert fitting("short") == "short"
