"""Stage `sft_controls`: what fine-tuning comes to where chance takes the place of a decision that the recipe makes.

One training does as the recipe says. Beside it, `random phases` fills phases of the same sizes with conversations drawn at
random, and `random selection` draws as many conversations, under the same quotas, in place of the best. All begin with the
same base model, take the same steps, and are measured on the same held-out conversations, drawn from all that cleaning kept:
those of a selection would be the easier ones for whoever was trained on their like.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.digests import digest_json
from lifecycle.evaluation.sft_curves import AS_DECIDED, FILE, STAGE, Curve, by_arm
from lifecycle.files import write_atomically
from lifecycle.instructions.quality import difficulties
from lifecycle.instructions.selection import build_selection
from lifecycle.jobs import TrainingJob
from lifecycle.plots import COLOURS, plot
from lifecycle.recipe.evaluation_sets import SftControls
from lifecycle.recipe.fine_tuning import FineTuning
from lifecycle.recipe.recipe import Recipe
from lifecycle.recipe.training import Validation
from lifecycle.tokens.build import VALIDATION
from lifecycle.tokens.build_sft import build_sft_memmap
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.journal import read_metrics

RANDOM_PHASES, RANDOM_SELECTION = "random phases", "random selection"
MEASURED = "validation_bits_per_byte"


@dataclass(frozen=True)
class Arm:
    """What is trained on, and how."""

    name: str
    memmap: Path
    tuning: dict[str, Any]


def build_sft_controls(
    inputs: Mapping[str, Path],
    recipe: Recipe,
    launch: Callable[[TrainingJob], dict[str, Any]],
    fingerprint: str,
    out: Path,
    run_dir: Path,
) -> dict[str, Any]:
    """Write `curves.json`: a `Curve` for each arm and seed. A training that ended stays, where a run was killed.

    Args:
        inputs: artifacts by stage name, those of `lifecycle.stages.further_of`.
        launch: runs a training.
    """
    config = recipe.evaluation.sft_controls
    assert config is not None
    curves = []
    made = _emptied(run_dir / "made")
    for seed in range(config.seeds):
        measured, arms = _arms(inputs, recipe, seed, made)
        curves += [_curve(arm, seed, measured, inputs, recipe, launch, fingerprint, run_dir) for arm in arms]
    shutil.rmtree(made)
    (out / FILE).write_text(json.dumps([curve.model_dump() for curve in curves], indent=1), encoding="utf-8")
    _draw(curves, run_dir)
    return {
        "rows": len(curves),
        "steps": recipe.sft.training.steps,
        "bits_per_byte": {name: [round(each.last, 4) for each in same] for name, same in by_arm(curves).items()},
    }


def _arms(inputs: Mapping[str, Path], recipe: Recipe, seed: int, made: Path) -> tuple[Path, list[Arm]]:
    """The memmap of held-out conversations that all are measured on, and what is trained."""
    phases, selection = recipe.sft.phases, recipe.instructions.selection
    tuning = recipe.sft.model_dump(include=set(FineTuning.model_fields))
    memmap = inputs["sft_memmap"]
    measured, arms = memmap / VALIDATION, [Arm(AS_DECIDED, memmap, tuning)]
    if phases and phases.order != "random":
        drawn = tuning | {"phases": phases.model_dump() | {"order": "random"}}
        arms.append(Arm(RANDOM_PHASES, memmap, drawn))
    if selection and not selection.random:
        measured = _memmap(inputs["instructions"], inputs, recipe, made / "all") / VALIDATION
        chance = selection.model_copy(update={"random": True, "seed": selection.seed + seed})
        chosen = _emptied(made / f"selection_{seed}")
        scores = inputs.get("instruction_scores")
        build_selection(inputs["instructions"], inputs["instruction_embeddings"], scores, chance, chosen, chosen / "run")
        arms.append(Arm(RANDOM_SELECTION, _memmap(chosen, inputs, recipe, made / f"memmap_{seed}"), tuning))
    return measured, arms


def _memmap(conversations: Path, inputs: Mapping[str, Path], recipe: Recipe, directory: Path) -> Path:
    """As the stage `sft_memmap` makes it."""
    phases, scores = recipe.sft.phases, inputs.get("instruction_scores")
    measured = difficulties(scores) if scores and phases and phases.by == "difficulty" else None
    out = _emptied(directory)
    build_sft_memmap(
        conversations,
        inputs["tokenizer"],
        recipe.instructions.max_tokens,
        recipe.sft.heldout,
        recipe.mix_seed,
        out,
        out / "run",
        difficulty=measured,
    )
    return out


def _curve(
    arm: Arm,
    seed: int,
    measured: Path,
    inputs: Mapping[str, Path],
    recipe: Recipe,
    launch: Callable[[TrainingJob], dict[str, Any]],
    fingerprint: str,
    run_dir: Path,
) -> Curve:
    """Train one arm, unless it was; of its run directory the curve alone stays."""
    name = f"{arm.name.replace(' ', '_')}_{seed}"
    kept = run_dir / "trained" / f"{name}.json"
    if kept.exists():
        return Curve.model_validate_json(kept.read_bytes())
    config = recipe.evaluation.sft_controls
    assert isinstance(config, SftControls)
    every = Validation(every=min(config.every, recipe.sft.training.steps), sequences=config.sequences)
    training = recipe.sft.training.model_copy(update={"seed": recipe.sft.training.seed + seed, "validation": every})
    given = {"model": inputs["base_model"], "memmap": arm.memmap, "validation": measured}
    given |= {"text": inputs["pretrain_memmap"]} if "pretrain_memmap" in inputs else {}
    directory = run_dir / name
    launch(
        TrainingJob(
            stage=STAGE,
            fingerprint=digest_json([fingerprint, name])[:32],
            program="lifecycle.training.causal",
            config={"kind": "sft", "training": training.model_dump(), "fine_tuning": arm.tuning},
            inputs={key: str(path) for key, path in given.items()},
            output=str(directory / "output"),
            run_dir=str(directory),
            processes=training.processes,
        )
    )
    points = tuple((entry["step"], entry[MEASURED]) for entry in read_metrics(directory) if MEASURED in entry)
    curve = Curve(arm=arm.name, seed=seed, conversations=len(TokenMemmap(arm.memmap)), points=points)
    write_atomically(kept, curve.model_dump_json())
    shutil.rmtree(directory)
    return curve


def _emptied(directory: Path) -> Path:
    """A new directory; what a killed run left in it goes."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _draw(curves: list[Curve], run_dir: Path) -> None:
    with plot(run_dir, STAGE, "Held-out conversations: the recipe's decisions and chance") as axes:
        for colour, (name, same) in zip(COLOURS, by_arm(curves).items(), strict=False):
            for number, each in enumerate(same):
                axes.plot(*zip(*each.points, strict=True), color=colour, marker=".", label=None if number else name)
        axes.set_xlabel("step")
        axes.set_ylabel("bits per byte of the answers")
        axes.legend(frameon=False)
