"""The recipe that the README tells people to copy, on files of their own and no documentation strings."""

import json
import random
from pathlib import Path

import pytest

from tests.graph_home import ROOT, Home, make_home

pytestmark = pytest.mark.slow

NOUNS = "river stone lantern market winter garden letter window harbour bridge travel music"
WORDS = NOUNS.split(" ")


def sentence(draw: random.Random) -> str:
    return (
        f"The {draw.choice(WORDS)} of the {draw.choice(WORDS)} was near a {draw.choice(WORDS)} in the {draw.choice(WORDS)}."
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = make_home(tmp_path_factory.mktemp("own"))
    draw = random.Random(7)
    rows = {
        "documents": [{"text": " ".join(sentence(draw) for _ in range(6))} for _ in range(500)],
        "instructions": [
            {"instruction": f"Write about a {word} and number {n}.", "input": "", "output": sentence(draw)}
            for n in range(12)
            for word in WORDS
        ],
        "preferences": [
            {"prompt": f"Say something of a {word} ({n}).", "chosen": sentence(draw), "rejected": f"{word} {word}"}
            for n in range(4)
            for word in WORDS
        ],
    }
    for name, records in rows.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (home.path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    recipe = (ROOT / "deploy/recipes/own_text.yaml").read_text(encoding="utf-8")
    smaller = (
        recipe.replace("steps: 200", "steps: 10").replace("steps: 60", "steps: 6").replace("prompts: 200", "prompts: 20")
    )
    (home.path / "recipe.yaml").write_text(smaller.replace("vocab_size: 1024", "vocab_size: 310"), encoding="utf-8")
    home.environment.update(LIFECYCLE_DATA=str(home.path), LIFECYCLE_RECIPE=str(home.path / "recipe.yaml"))
    return home


def test_files_of_your_own_become_a_champion(home: Home) -> None:
    done = home.run("run")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "own_text_dpo/1 is the champion now" in done.stdout + done.stderr
    summary = json.loads((home.path / "own_text-summary.json").read_text(encoding="utf-8"))
    assert summary["base"]["bits_per_byte"] > 0


def test_a_gate_that_cannot_be_measured_is_refused_before_anything_runs(home: Home, tmp_path: Path) -> None:
    recipe = tmp_path / "gate.yaml"
    text = (home.path / "recipe.yaml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("heldout_bits_per_byte/bits_per_byte", "kind_of_object/acc"), encoding="utf-8")
    done = home.run("plan", "--recipe", str(recipe))
    assert done.returncode == 1
    assert "no python_docs source" in done.stderr
