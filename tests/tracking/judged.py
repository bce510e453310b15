"""A life that was really evaluated: figures that are given, in a report that the project's own code makes of them."""

from dataclasses import dataclass
from pathlib import Path

from lifecycle.artifacts import Artifact, Published, Store, Workspace
from lifecycle.evaluation.report import build_report
from lifecycle.recipe.recipe import Recipe
from lifecycle.references import input_references
from lifecycle.stages import EVAL_REPORT, evaluated_model
from tests.evaluation.fixtures import evaluation, heldout_directory
from tests.tracking.chain import make_all, writes


@dataclass(frozen=True)
class Judged:
    """`made` are all artifacts by stage; `model` is the one of the last round."""

    made: dict
    model: Artifact
    report: Artifact


def judged_life(recipe: Recipe, store: Store, accuracy: float, items: int = 12) -> Judged:
    """Every stage; the DPO model is right in `accuracy` of 300 questions, base and SFT models in 0.3 and 0.7."""

    def measured(name: str, share: float):
        def build(workspace: Workspace) -> dict:
            evaluation(
                workspace.out, name, share, 2.0, [0.1 * (i % 5) + share / 10 for i in range(24)], rewards=name == "dpo"
            )
            return {"rows": 300}

        return build

    def heldout(workspace: Workspace) -> dict:
        heldout_directory(workspace.out, items)
        return {}

    build = {
        "heldout_text": heldout,
        "dpo_model": writes(f"weights of {accuracy}", steps=7, seconds_training=36.0, processes=100, device="cpu"),
        "base_eval": measured("base", 0.3),
        "sft_eval": measured("sft", 0.7),
        "dpo_eval": measured("dpo", accuracy),
    }
    made = make_all(recipe, store, until="dpo_eval", build=build)
    inputs = {name: made[name].artifact for name in EVAL_REPORT.inputs}
    *evaluations, text = EVAL_REPORT.inputs
    paths = {evaluated_model(name): Path(inputs[name].uri) for name in evaluations}

    def write_report(workspace: Workspace) -> dict:
        return build_report(paths, Path(inputs[text].uri), recipe.name, workspace.out, workspace.run_dir)

    identity = EVAL_REPORT.identity(recipe, None)
    report: Published = store.materialize(
        EVAL_REPORT.name, EVAL_REPORT.code_version, identity, input_references(EVAL_REPORT, inputs), write_report
    )
    return Judged(made | {"eval_report": report}, made["dpo_model"].artifact, report.artifact)
