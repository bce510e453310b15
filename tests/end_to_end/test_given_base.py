"""A given model in the graph: taken as it is, which needs no text, and then trained further."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lifecycle.artifacts import Store
from lifecycle.plan import plan
from lifecycle.pretrained import load_model
from lifecycle.recipe.recipe import load_recipe
from lifecycle.training.export import copy_tokenizer
from lifecycle.training.model import build_model
from tests.graph_home import ROOT, Home, make_home
from tests.training import tiny

UNTIL_THE_BASE = """
import json, sys
from pathlib import Path
from assets.run import _outcomes, prepare_home
prepare_home(Path(sys.argv[1]), Path(sys.argv[2]))
import dagster as dg
from assets.definitions import defs
from assets.jobs import CURATE, TRAIN_AND_ALIGN
job = defs.resolve_job_def(TRAIN_AND_ALIGN)
made = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
wanted = [dg.AssetKey(["given", name]) for name in ("corpus", "tokenizer", "pretrain_memmap", "base_model") if name in made]
with dg.DagsterInstance.get() as instance:
    defs.resolve_job_def(CURATE).execute_in_process(instance=instance, partition_key="chinese")
    result = job.execute_in_process(instance=instance, asset_selection=wanted)
    print("RESULT " + json.dumps([[each.name, each.reused, each.fingerprint] for each in _outcomes(result, None)]))
"""
RECIPE = """
name: given
sources: [{name: chinese, kind: jsonl, path: "${TINY_CHINESE}", language: zh, licence: test data, tolerance: 0.2}]
tokenizer: {base: "${GIVEN_MODEL}"}
base_model: {start: {path: "${GIVEN_MODEL}"}, training: TRAINING}
instructions: {max_tokens: 64, sources: [{kind: files, name: none, path: "${TINY_CHINESE}", licence: test data}]}
sft:
  training: {steps: 1, global_batch: 2, sequence_length: 64, processes: 1, micro_batch: 1, optimization: {learning_rate: 1}}
dpo: {max_length: 64}
gates: [{metric: heldout_bits_per_byte/bits_per_byte, model: base, at_most: 99.0}]
"""
TRAINING = (
    "{steps: 2, global_batch: 2, sequence_length: 64, processes: 1, micro_batch: 1, optimization: {learning_rate: 1.0e-3}}"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = make_home(tmp_path_factory.mktemp("given"))
    tokenizer = tiny.make_tokenizer(made.path / "tokenizer")
    model = made.path / "model"
    build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 3, tokenizer).save_pretrained(str(model))
    copy_tokenizer(tokenizer, model)
    recipe = made.path / "recipe.yaml"
    environment = made.environment | {"GIVEN_MODEL": str(model), "LIFECYCLE_RECIPE": str(recipe), "OMP_NUM_THREADS": "1"}
    return Home(made.path, environment)


def make(home: Home, training: str) -> tuple[dict[str, bool], Path]:
    """Which assets were reused, and the base model's directory."""
    recipe = Path(home.environment["LIFECYCLE_RECIPE"])
    recipe.write_text(RECIPE.replace("TRAINING", training), encoding="utf-8")
    command = [sys.executable, "-c", UNTIL_THE_BASE, str(home.path), str(recipe)]
    done = subprocess.run(command, cwd=ROOT, env=home.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    outcomes = json.loads(line.removeprefix("RESULT "))
    (fingerprint,) = [fingerprint for name, _, fingerprint in outcomes if name == "base_model"]
    return {name: reused for name, reused, _ in outcomes}, home.path / "store" / "base_model" / fingerprint


def test_a_given_model_is_adopted_without_text_and_then_trained_further(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It once waited for a memmap of the whole corpus that nobody then read."""
    made, adopted = make(home, "null")
    assert made == {"corpus": False, "tokenizer": False, "base_model": False}
    given = load_model(Path(home.environment["GIVEN_MODEL"]))
    for name, parameter in load_model(adopted).named_parameters():
        assert torch.equal(parameter, given.get_parameter(name)), name
    manifest = json.loads((adopted / "manifest.json").read_text(encoding="utf-8"))
    assert {item["name"] for item in manifest["inputs"]} == {"tokenizer", "snapshot/start"}

    for name in ("TINY_CHINESE", "GIVEN_MODEL"):
        monkeypatch.setenv(name, home.environment[name])
    recipe = load_recipe(home.environment["LIFECYCLE_RECIPE"])
    lines = {line.stage: line.action for line in plan(recipe, Store(home.path / "store"))}
    assert "pretrain_memmap" not in lines
    assert lines["base_model"] == "reuse"

    made, trained = make(home, TRAINING)
    assert made == {"corpus": True, "tokenizer": True, "pretrain_memmap": False, "base_model": False}
    moved = [
        not torch.equal(parameter.float(), given.get_parameter(name).to(parameter.dtype).float())
        for name, parameter in load_model(trained).named_parameters()
    ]
    assert any(moved)
    manifest = json.loads((trained / "manifest.json").read_text(encoding="utf-8"))
    assert {item["name"] for item in manifest["inputs"]} == {"pretrain_memmap", "tokenizer", "snapshot/start"}
