"""The whole graph, as `lifecycle run` runs it, and what can be asked of its results."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from lifecycle.recipe.recipe import load_recipe
from lifecycle.stages import stages_of
from tests.graph_home import RECIPE, ROOT, SECRETS, Home, home_without
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow


def test_every_asset_was_made_and_accounted_for(finished: Home) -> None:
    summary = finished.summary()
    expected = {
        f"{stage.name}/{source}" if stage.per_source else stage.name
        for stage in stages_of(load_recipe(RECIPE))
        for source in (("packages", "chinese") if stage.per_source else ("",))
    }
    assert set(summary["assets"]) == expected
    assert not any(asset["reused"] for asset in summary["assets"].values())
    for source, ledger in summary["ledger"].items():
        assert ledger["read"] == ledger["kept"] + sum(ledger["dropped"].values()), source
    assert summary["ledger"]["chinese"]["read"] == 121
    assert summary["base"]["bits_per_byte"] > 0
    assert summary["multiple_choice"]["chance"] > 0
    low, high = summary["dpo"]["win_rate_interval"]
    assert 0 <= low <= summary["dpo"]["win_rate"] <= high <= 1


def test_the_report_shows_health_contamination_and_comparisons(finished: Home) -> None:
    """Every figure that the gates may name is measured, of each model and of the registered version beside them."""
    (path,) = (finished.path / "store" / "eval_report").glob("*/report.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    for model in ("base", "sft", "dpo"):
        metrics = report["models"][model]["metrics"]
        assert {"health/looping", "health_turns/decay", "heldout_bits_per_byte/language:zh"} <= set(metrics)
        assert metrics["health/endless"]["interval"][0] <= metrics["health/endless"]["value"]
    sets = {each["set"]: each for each in report["contamination"]}
    assert set(sets) == {"kind_of_object", "first_word_match", "heldout_bits_per_byte", "win_rate", "health"}
    assert set(sets["win_rate"]["by"]) == {*("corpus", "selected_instructions", "preference_pairs", "raw_preferences")}
    assert sets["heldout_bits_per_byte"]["contaminated"] == 0, "curation took such documents out of the corpus"
    assert set(sets["kind_of_object"]["scores"]) == {"base", "sft", "dpo", "kto"}
    over = {each["against"]: each["won"] for each in report["comparisons"]}
    assert set(over) == {"sft", "tiny_sft/1"}, "there is no champion yet"
    assert over["sft"]["rate"] == report["win_rate"]["rate"]
    assert over["tiny_sft/1"] == over["sft"], "a registered version answers as it did when it was a stage's model"


def test_second_run_reuses_everything(finished: Home) -> None:
    """Same inputs, no work: every artifact is taken as it is, with the same digest."""
    before = finished.summary()["assets"]
    done = finished.run("run")
    assert done.returncode == 0, done.stdout[-3000:]
    after = finished.summary()["assets"]
    assert all(asset["reused"] for asset in after.values())
    assert {name: asset["digest"] for name, asset in after.items()} == {
        name: asset["digest"] for name, asset in before.items()
    }


def test_plan_says_reuse_after_a_run_and_why_after_a_change(finished: Home, tmp_path: Path) -> None:
    lines = json.loads(finished.ask("plan", "--json").stdout)
    assert {line["action"] for line in lines[:-1]} == {"reuse"}
    assert (lines[-1]["stage"], lines[-1]["action"]) == ("champion", "decide")
    assert "all blocking gates hold; decided then against the champion: 1" in lines[-1]["why"]
    changed = tmp_path / "changed.yaml"
    text = Path(finished.environment["LIFECYCLE_RECIPE"]).read_text(encoding="utf-8")
    changed.write_text(text.replace("steps: 8", "steps: 9"), encoding="utf-8")
    lines = json.loads(finished.ask("plan", "--json", "--recipe", str(changed)).stdout)
    actions = {line["stage"]: line for line in lines}
    assert actions["base_model"]["action"] == "reuse"
    assert actions["sft_model"]["action"] == "run"
    assert "steps" in actions["sft_model"]["why"]
    assert actions["dpo_model"]["action"] == "run"


def test_scores_are_swept_explained_and_decide_the_phases(finished: Home) -> None:
    swept = finished.ask("sweep", "difficulty.max_difficulty", "0", "1", "--steps", "3", "--instructions", "--json")
    steps = json.loads(swept.stdout)
    assert [step["value"] for step in steps] == [0.0, 0.5, 1.0]
    assert steps[0]["kept"] == 0
    assert steps[0]["documents"] > 100
    told = finished.ask("explain", steps[0]["boundary"][0]["id"], "--instructions")
    assert "cleaned: kept" in told.stdout, told.exception
    assert "difficulty" in told.stdout
    assets = finished.summary()["assets"]
    memmap = finished.path / "store" / "sft_memmap" / assets["sft_memmap"]["fingerprint"]
    inputs = json.loads((memmap / "manifest.json").read_text(encoding="utf-8"))["inputs"]
    assert {item["name"]: item["digest"] for item in inputs}["instruction_scores"] == assets["instruction_scores"]["digest"]


def test_lineage_reaches_the_bytes_of_every_source(finished: Home) -> None:
    """Which data made this model? is answered from MLflow alone, down to the digest of each source."""
    done = finished.ask("lineage", "tiny_dpo@champion", "--format", "json")
    assert done.exit_code == 0, (done.output, done.exception)
    tree = json.loads(done.stdout)
    assert tree["nodes"][tree["root"]]["stage"] == "dpo_model"
    leaves = [node for node in tree["nodes"].values() if not node["inputs"]]
    assert {leaf["stage"] for leaf in leaves} == {"snapshot"}
    assert len({leaf["digest"] for leaf in leaves}) == 3


def test_the_champion_is_whole_leaves_as_a_folder_and_nothing_of_it_is_garbage(finished: Home, tmp_path: Path) -> None:
    checked = finished.ask("lineage", "tiny_dpo@champion", "--check")
    assert checked.exit_code == 0, (checked.output, checked.exception)
    assert "whole" in checked.stdout
    used = finished.ask("lineage", "--used-by", "chinese")
    assert "tiny_dpo/1" in used.stdout, (used.output, used.exception)
    exported = finished.ask("export", "tiny_dpo@champion", str(tmp_path / "model"))
    assert exported.exit_code == 0, (exported.output, exported.exception)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True).config.vocab_size == 1024
    paid = finished.ask("gc", "--days", "0", "--cache", "--paid-answers")
    assert paid.exit_code == 0, (paid.output, paid.exception)
    collected = finished.ask("gc", "--days", "0")
    assert "0 directories" in collected.stdout, (collected.output, collected.exception)


def test_a_model_is_made_again_to_the_same_bytes(finished: Home, tmp_path: Path) -> None:
    """Everything in an empty home, from the recipe that MLflow kept and the raw files."""
    done = finished.run("reproduce", "tiny_base", str(tmp_path / "again"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "tiny_base: 8 of 8 artifacts have the same bytes" in done.stdout
    chinese = Path(finished.environment["TINY_CHINESE"])
    whole = chinese.read_bytes()
    chinese.write_bytes(whole[:-1])
    try:
        refused = finished.run("reproduce", "tiny_base", str(tmp_path / "other"))
    finally:
        chinese.write_bytes(whole)
    assert refused.returncode == 1
    assert "chinese: its bytes are" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_no_secret_of_the_environment_is_kept_anywhere(finished: Home) -> None:
    """Store, manifests, logs, Dagster's and MLflow's databases: all that a run leaves is looked through."""
    files = [path for path in finished.path.rglob("*") if path.is_file()]
    assert len(files) > 100
    for secret in SECRETS.values():
        found = [path for path in files if secret.encode() in path.read_bytes()]
        assert not found, (secret, found)


def test_champion_refuses_a_report_of_another_model(finished: Home) -> None:
    """Materializing `champion` alone, after the model but not its evaluation, must not promote what nobody measured."""
    program = (
        "import dagster as dg\n"
        "from assets.evaluation import _check_measured\n"
        "from assets.definitions import RECIPE_PATH, STORE_ROOT, store, tracking\n"
        "from pathlib import Path\n"
        "from resources.stages import StageRunner\n"
        "from resources.store import read_reference\n"
        "runner = StageRunner(recipe_path=str(RECIPE_PATH), store=store, tracking=tracking)\n"
        "report, dpo, sft = (read_reference(Path(STORE_ROOT), dg.AssetKey(['tiny', n]), None)\n"
        "    for n in ('eval_report', 'dpo_model', 'sft_model'))\n"
        "_check_measured(runner, report, dpo)\n"
        "print('measured')\n"
        "other = dpo.model_copy(update={'digest': '0' * 32})\n"
        "_check_measured(runner, report, other)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=finished.environment, capture_output=True, text=True, check=False
    )
    assert "measured" in done.stdout, done.stderr
    assert done.returncode != 0
    assert "refused" in done.stderr


def test_unknown_model_is_a_clear_error(finished: Home) -> None:
    done = finished.run("lineage", "nobody@champion")
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert not done.stdout.strip()
    assert "Traceback" not in done.stdout + done.stderr


def test_chat_answers(finished: Home) -> None:
    done = finished.run("chat", "sft", "--temperature", "0", "--max-new-tokens", "5", input="What is this?\n/quit\n")
    assert done.returncode == 0, done.stdout + done.stderr


def test_damaged_artifact_is_set_aside_and_made_again(finished: Home) -> None:
    """A changed byte in a stored file must never be used silently."""
    assets = finished.summary()["assets"]
    directory = finished.path / "store" / "tokenizer" / assets["tokenizer"]["fingerprint"]
    file = directory / "tokenizer.json"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b" ")
    done = finished.run("run")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "tokenizer.json" in done.stdout + done.stderr
    again = finished.summary()["assets"]["tokenizer"]
    assert not again["reused"]
    assert again["digest"] == assets["tokenizer"]["digest"]
    assert file.read_bytes() == content


def test_killed_run_continues_to_the_same_model(finished: Home, tmp_path: Path) -> None:
    """`kill -9` in the middle of pretraining, then the same command: the same model, digest for digest."""
    home = home_without(finished, tmp_path / "killed", "tokenizer", "pretrain_memmap", "base_model")
    first = home.start("run")
    checkpoint = wait_for(home.path / "store", ".runs/*/checkpoints/step_*", first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert checkpoint.exists()
    second = home.start("run")
    reference = wait_for(home.path / "store", ".refs/tiny/base_model/artifact.json", second)
    second.kill()
    second.wait()
    digest = json.loads(reference.read_text(encoding="utf-8"))["digest"]
    assert digest == finished.summary()["assets"]["base_model"]["digest"]
    assert "continuing after step" in (home.path / "output.log").read_text(encoding="utf-8")


def wait_for(directory: Path, pattern: str, process) -> Path:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for path in directory.glob(pattern):
            return path
        assert process.poll() is None, (directory.parent / "output.log").read_text(encoding="utf-8")[-3000:]
        time.sleep(0.02)
    raise AssertionError(f"{pattern} did not appear within {PATIENCE} s")
