"""The quality model in the graph: made before cleaning, an input of it, planned, recorded, swept and explained."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.graph_home import RECIPE, ROOT, Home, make_home

pytestmark = pytest.mark.slow

CURATE_ONLY = """
import dagster as dg, json, sys
from pathlib import Path
from assets.run import _execute, prepare_home
prepare_home(Path(sys.argv[1]), Path(sys.argv[2]))
from assets.definitions import defs
from assets.jobs import CURATE, LEARN_QUALITY
with dg.DagsterInstance.get() as instance:
    outcomes = _execute(defs.resolve_job_def(LEARN_QUALITY), instance, None)
    for source in ("packages", "chinese"):
        outcomes += _execute(defs.resolve_job_def(CURATE), instance, source)
print("RESULT " + json.dumps([[each.name, each.reused, each.fingerprint, each.digest] for each in outcomes]))
"""
SECTION = """
quality_model:
  positive: [chinese]
  negative: [{kind: jsonl, name: shuffled, path: "${TINY_CHINESE}.bad", language: zh, licence: test data}]
"""


def curate(home: Home) -> dict[str, list]:
    command = [sys.executable, "-c", CURATE_ONLY, str(home.path), home.environment["LIFECYCLE_RECIPE"]]
    done = subprocess.run(command, cwd=ROOT, env=home.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return {name: rest for name, *rest in json.loads(line.removeprefix("RESULT "))}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = make_home(tmp_path_factory.mktemp("quality"))
    chinese = Path(made.environment["TINY_CHINESE"])
    texts = [json.loads(line)["text"] for line in chinese.read_text(encoding="utf-8").splitlines() if line.startswith('{"')]
    with Path(f"{chinese}.bad").open("w", encoding="utf-8") as bad, chinese.open("a", encoding="utf-8") as good:
        for number, text in enumerate(texts):
            row = json.dumps({"text": "".join(random.Random(number).sample(text, len(text)))}) + "\n"
            bad.write(row)
        good.write(json.dumps({"text": "".join(random.Random(-1).sample(texts[0], len(texts[0])))}) + "\n")
    recipe = made.path / "recipe.yaml"
    text = RECIPE.read_text(encoding="utf-8").replace("[typer, rich, click, yaml, jinja2, packaging, numpy]", "[packaging]")
    recipe.write_text(text + SECTION, encoding="utf-8")
    return Home(made.path, made.environment | {"LIFECYCLE_RECIPE": str(recipe)})


def test_the_model_is_trained_used_planned_and_reused(home: Home) -> None:
    first = curate(home)
    per_source = [f"{stage}/{source}" for source in ("packages", "chinese") for stage in ("raw_corpora", "cleaned_corpora")]
    assert list(first) == ["quality_model", *per_source]
    store = home.path / "store"
    _, fingerprint, digest = first["cleaned_corpora/chinese"]
    cleaned = store / "cleaned_corpora" / fingerprint
    manifest = json.loads((cleaned / "manifest.json").read_text(encoding="utf-8"))
    inputs = {item["name"]: item["digest"] for item in manifest["inputs"]}
    assert inputs["quality_model"] == first["quality_model"][2]
    assert manifest["facts"]["dropped"]["quality_model"] >= 1, "the shuffled document of the source itself"
    model = json.loads((store / "quality_model" / first["quality_model"][1] / "manifest.json").read_text(encoding="utf-8"))
    assert {item["name"] for item in model["inputs"]} == {"snapshot/chinese", "snapshot/shuffled"}
    assert (store / ".runs" / first["quality_model"][1] / "tracking.json").exists(), "recorded in MLflow"

    again = curate(home)
    assert all(reused for reused, _, _ in again.values())
    assert again["cleaned_corpora/chinese"][2] == digest

    lines = json.loads(home.run("plan", "--json").stdout)
    actions = {(line["stage"], line["source"]): line["action"] for line in lines}
    assert actions["quality_model", None] == actions["cleaned_corpora", "chinese"] == "reuse"
    recipe = Path(home.environment["LIFECYCLE_RECIPE"])
    changed = recipe.with_name("changed.yaml")
    changed.write_text(recipe.read_text(encoding="utf-8") + "  min_score: {zh: 0.0}\n", encoding="utf-8")
    lines = json.loads(home.run("plan", "--json", "--recipe", str(changed)).stdout)
    why = {(line["stage"], line["source"]): (line["action"], line["why"]) for line in lines}
    assert why["quality_model", None][0] == "reuse"
    assert why["cleaned_corpora", "chinese"] == ("run", "quality_model.min_score.zh is new")

    swept = home.run("sweep", "quality_model.min_score", "0", "1", "--source", "chinese")
    assert "quality_model.min_score" in swept.stdout, swept.stderr
    account = json.loads((cleaned / "ledger.json").read_text(encoding="utf-8"))["sources"][0]
    told = home.run("explain", account["samples"]["quality_model"][0]["id"])
    assert "cleaned: quality_model" in told.stdout, told.stderr
