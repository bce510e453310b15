"""Fine-tuning in phases of measured difficulty against phases drawn at random: two runs that differ in nothing else.

    python benchmarks/phases.py --home DIRECTORY [--seeds 0 1] [--instructions FILE …] [--size small | --quick] [--json FILE]

Each run is the graph of the demo's recipe up to `sft_model`, in one home: corpus, base model and scores are made once. The
base model of the recipe measures the difficulty of every conversation (`instruction_scores`); three phases of equal size go
from easy to hard, and the control fills phases of the same sizes with conversations drawn by the seed. `mixed` has no
phases. Written are the loss on held-out conversations (bits per byte of the answers) by step, and a picture of the curves
below the home. With `--instructions` the conversations are those of these files, not those made from documentation.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "deploy" / "recipes" / "demo.yaml"
ARMS: dict[str, dict[str, Any] | None] = {
    "difficulty": {"by": "difficulty", "into": 3, "order": "rising"},
    "random": {"by": "difficulty", "into": 3, "order": "random"},
    "mixed": None,
}


@dataclass(frozen=True)
class Size:
    """How much is trained, and how often it is measured on how many packed sequences."""

    base_steps: int
    steps: int
    every: int
    measured: int
    small: bool = True
    """A model of 64 x 2 on the documentation of two packages, not the demo's."""


SIZES = {"demo": Size(1200, 300, 20, 64, small=False), "small": Size(300, 120, 10, 32), "quick": Size(40, 24, 6, 16)}
METRIC = "validation_bits_per_byte"
CHILD = """
import sys
from pathlib import Path
import dagster as dg
from assets.run import _execute, prepare_home
prepare_home(Path(sys.argv[1]), Path(sys.argv[2]))
from assets.definitions import defs
from assets.jobs import CURATE, TRAIN_AND_ALIGN
from assets.recipe import RECIPE, SOURCES
from lifecycle.stages import stages_of
names = [stage.name for stage in stages_of(RECIPE) if not stage.per_source]
chosen = [dg.AssetKey([RECIPE.name, name]) for name in names[: names.index("sft_model") + 1]]
with dg.DagsterInstance.get() as instance:
    for source in SOURCES.get_partition_keys():
        _execute(defs.resolve_job_def(CURATE), instance, source)
    loggers = {"loggers": {"console": {"config": "INFO"}}}
    job = defs.resolve_job_def(TRAIN_AND_ALIGN)
    assert job.execute_in_process(instance=instance, asset_selection=chosen, run_config=loggers).success
"""


def recipe_of(arm: str, seed: int, files: list[Path], size: Size) -> dict[str, Any]:
    """The demo's recipe with scores, held-out conversations and one arm's phases."""
    recipe = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    recipe["instructions"]["scores"] = {}
    if files:
        named = enumerate(map(str, files))
        recipe["instructions"]["sources"] = [
            {"kind": "files", "name": f"files_{number}", "path": path, "licence": "given to the benchmark"}
            for number, path in named
        ]
    sft = recipe["sft"]
    sft |= {"heldout": {"share": 0.05}, "phases": ARMS[arm]}
    recipe["base_model"]["training"] |= {"steps": size.base_steps}
    sft["training"] |= {"steps": size.steps, "seed": seed, "validation": {"every": size.every, "sequences": size.measured}}
    if size.small:
        recipe["sources"] = [{"name": "packages", "kind": "python_docs", "packages": ["rich", "numpy"], "licence": "theirs"}]
        recipe["preferences"]["sources"] = []
        recipe["base_model"]["architecture"] |= {"hidden_size": 64, "layers": 2}
        for training in (recipe["base_model"]["training"], sft["training"]):
            training["compile"] = False
        if not files:
            recipe["instructions"]["sources"] = [{"kind": "documented_objects", "sources": ["packages"]}]
    return recipe


def run(home: Path, recipe: dict[str, Any], name: str) -> dict[str, Any]:
    """One arm's curve: steps, losses on held-out conversations, and what was trained."""
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", CHILD, str(home), str(path)], cwd=ROOT, env=environment, check=True)
    from lifecycle.training.journal import read_metrics

    reference = home / "store" / ".refs" / recipe["name"] / "sft_model" / "artifact.json"
    fingerprint = json.loads(reference.read_text(encoding="utf-8"))["fingerprint"]
    metrics = read_metrics(home / "store" / ".runs" / fingerprint)
    curve = [(entry["step"], entry[METRIC]) for entry in metrics if METRIC in entry]
    return {"steps": [step for step, _ in curve], "loss": [round(loss, 4) for _, loss in curve]}


def draw(home: Path, curves: dict[str, list[dict[str, Any]]]) -> None:
    """All curves in one picture, a colour for each arm."""
    from lifecycle.plots import COLOURS, plot

    with plot(home, "phases", "Loss on held-out conversations: phases by difficulty and at random") as axes:
        for colour, (arm, runs) in zip(COLOURS, curves.items(), strict=False):
            for number, each in enumerate(runs):
                axes.plot(each["steps"], each["loss"], color=colour, label=None if number else arm)
        axes.set_xlabel("step")
        axes.set_ylabel("bits per byte of the answers")
        axes.legend(frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="where everything is made, and kept for the next run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of fine-tuning: order and random phases")
    parser.add_argument("--instructions", type=Path, nargs="*", default=[], help="files of conversations")
    parser.add_argument("--size", choices=SIZES, default="demo", help="how much is trained")
    parser.add_argument("--quick", action="store_true", help="the same as --size quick: numbers that mean nothing")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    files = [path.resolve() for path in arguments.instructions]
    curves: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for seed in arguments.seeds:
        for arm in ARMS:
            recipe = recipe_of(arm, seed, files, SIZES["quick" if arguments.quick else arguments.size])
            curves[arm].append({"seed": seed, **run(home, recipe, f"{arm}_{seed}")})
            print(f"{arm}, seed {seed}: {curves[arm][-1]['loss'][-1]} after step {curves[arm][-1]['steps'][-1]}", flush=True)
    draw(home, curves)
    print(json.dumps(curves, indent=1))
    print(f"picture: {home / 'plots' / 'phases.png'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
