"""The resource as assets use it, inside a real Dagster run."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from lifecycle.artifacts import Artifact, Store
from lifecycle.digests import digest_json
from lifecycle.recipe.base import Section, identity
from lifecycle.recipe.recipe import Recipe
from lifecycle.tracking.connection import connect
from resources.tracking import TrackingResource
from tests.tracking.chain import writes


class Outcome(Section):
    """A passed gate."""

    passed: bool = True
    blocking: bool = True
    said: str = "all is well"


def test_a_dagster_run_is_recorded_with_its_id_and_promotes(tracking_uri: str, store: Store, recipe: Recipe) -> None:
    described = recipe.model_copy(update={"description": "For the test."})

    @dg.asset(key_prefix="small")
    def dpo_model(context: dg.AssetExecutionContext, tracking: TrackingResource) -> dg.MaterializeResult:
        published = store.materialize("dpo_model", "1", {}, (), writes("weights"))
        run_id = tracking.record(context, published, "name: small", described)
        report = published.artifact.model_copy(update={"stage": "eval_report"})
        promotion = tracking.promote("small", published.artifact, report, lambda _: [Outcome()])
        assert isinstance(published.artifact, Artifact)
        return dg.MaterializeResult(metadata=tracking.link(run_id) | {"champion": promotion.champion})

    tracking = TrackingResource(tracking_uri=tracking_uri, store_root=str(store.root))
    result = dg.materialize([dpo_model], resources={"tracking": tracking})
    metadata = result.asset_materializations_for_node("small__dpo_model")[0].metadata
    assert metadata["champion"].value == "small_dpo/1"
    client = connect(tracking_uri)
    run = client.search_runs([client.get_experiment_by_name("small").experiment_id])[0]
    assert str(metadata["mlflow_run"].value).endswith(f"/runs/{run.info.run_id}")
    assert run.info.run_name == "small/dpo_model"
    assert run.data.tags["lifecycle.dagster_run_id"] == result.run_id
    assert client.get_registered_model("small_dpo").description == "For the test."
    card = client.get_model_version("small_dpo", "1").description
    assert card.startswith(
        "A DPO model: the SFT model (or that of the round before) aligned with the recipe's preference pairs. "
        "Recipe `small`: For the test."
    )
    assert f"| dpo_model | 7 | `{run.data.tags['lifecycle.digest']}` |" in card
    assert run.data.tags["lifecycle.recipe_digest"] == digest_json(identity(described))
    assert "**Verdict:** small_dpo/1 is the champion now" in card


def test_links_lead_to_the_run_or_say_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TrackingResource(tracking_uri="http://host:5000/", store_root=str(tmp_path))
    assert server.link("abc")["mlflow_run"].value == "http://host:5000/#/experiments/0/runs/abc"
    assert "did not answer" in server.link(None)["mlflow_run"].value
    monkeypatch.setenv("LIFECYCLE_MLFLOW_UI", "http://127.0.0.1:5001")
    assert server.link("abc")["mlflow_run"].value == "http://127.0.0.1:5001/#/experiments/0/runs/abc"


def test_definitions_may_import_it_without_paying_for_mlflow() -> None:
    """mlflow at the top of definitions cost each step process seconds."""
    code = "import sys, resources.tracking, lifecycle.plan, lifecycle.tracking.runs; print('mlflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
