"""Evaluation of each model, the report, and the champion of the registry."""

import json
from pathlib import Path

import dagster as dg

from assets.policy import ANY, EVALUATION, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.errors import LifecycleError
from resources.launchers.base import Launcher
from resources.stages import StageRunner

GATES_HOLD = "gates_hold"


@stage_asset(stages.BASE_EVAL, EVALUATION, {"pytorch"}, accelerator=True)
def base_eval(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    base_model: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """lm-eval tasks, bits per byte and greedy answers of the base model."""

    def build(workspace: Workspace) -> dict:
        return _evaluate(context, runner, launcher, workspace, "base", base_model, heldout_text)

    inputs = {"base_model": base_model, "heldout_text": heldout_text}
    return runner.materialize(context, stages.BASE_EVAL, inputs, build)


@stage_asset(stages.SFT_EVAL, EVALUATION, {"pytorch"}, accelerator=True)
def sft_eval(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    sft_model: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """lm-eval tasks, bits per byte and greedy answers of the SFT model."""

    def build(workspace: Workspace) -> dict:
        return _evaluate(context, runner, launcher, workspace, "sft", sft_model, heldout_text)

    inputs = {"sft_model": sft_model, "heldout_text": heldout_text}
    return runner.materialize(context, stages.SFT_EVAL, inputs, build)


@stage_asset(stages.DPO_EVAL, EVALUATION, {"pytorch"}, accelerator=True)
def dpo_eval(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    dpo_model: Artifact,
    sft_model: Artifact,
    preference_pairs: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """As for the SFT model, and the accuracy of the implicit reward on held-out pairs."""

    def build(workspace: Workspace) -> dict:
        return _evaluate(
            context,
            runner,
            launcher,
            workspace,
            "dpo",
            dpo_model,
            heldout_text,
            reference=sft_model.path,
            pairs=preference_pairs.path,
        )

    inputs = {
        "dpo_model": dpo_model,
        "sft_model": sft_model,
        "preference_pairs": preference_pairs,
        "heldout_text": heldout_text,
    }
    return runner.materialize(context, stages.DPO_EVAL, inputs, build)


def _evaluate(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    workspace: Workspace,
    name: str,
    model: Artifact,
    heldout: Artifact,
    reference: Path | None = None,
    pairs: Path | None = None,
) -> dict:
    from lifecycle.evaluation.stage import evaluate_model

    return evaluate_model(
        name,
        model.path,
        heldout.path,
        runner.recipe.evaluation,
        workspace.out,
        workspace.run_dir,
        launch=lambda job: launcher.run(context, job),
        fingerprint=workspace.run_dir.name,
        reference=reference,
        pairs=pairs,
    )


def _check_measured(runner: StageRunner, report: Artifact, model: Artifact) -> None:
    """Raises LifecycleError unless `report` measured `model` and the models that it was trained from."""
    store = runner.store.open()
    sft = store.input_artifact(model, "sft_model")
    base = store.input_artifact(sft, "base_model")
    for name, expected in (("dpo", model), ("sft", sft), ("base", base)):
        measured = store.input_artifact(store.input_artifact(report, f"{name}_eval"), f"{name}_model")
        if measured.digest != expected.digest:
            raise LifecycleError(
                f"refused: the report {report.fingerprint} measured a {name} model of digest {measured.digest}, but the "
                f"model to promote has {expected.digest}; materialize {name}_eval and eval_report again first"
            )


@stage_asset(
    stages.EVAL_REPORT,
    EVALUATION,
    {"html"},
    checks=[
        dg.AssetCheckSpec(
            GATES_HOLD,
            asset="eval_report",
            description="The recipe's blocking gates, measured on this report. When it fails the champion stays where it "
            "is; the metadata names each gate with its value.",
        )
    ],
)
def eval_report(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    base_eval: Artifact,
    sft_eval: Artifact,
    dpo_eval: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """Base, SFT and DPO side by side, with intervals, gates and samples, as HTML and Markdown."""
    evals = {"base": base_eval, "sft": sft_eval, "dpo": dpo_eval}

    def build(workspace: Workspace) -> dict:
        from lifecycle.evaluation.report import build_report

        paths = {name: artifact.path for name, artifact in evals.items()}
        recipe = runner.recipe
        return build_report(paths, heldout_text.path, recipe.gates, recipe.name, workspace.out, workspace.run_dir)

    def gates(published: Published) -> list[dg.AssetCheckResult]:
        from lifecycle.evaluation.gates import read_gate_results

        results = [result for model in evals for result in read_gate_results(published.artifact.path, model)]
        passed = all(result.passed for result in results if result.blocking)
        table = [result.model_dump() for result in results]
        return [dg.AssetCheckResult(passed=passed, check_name=GATES_HOLD, metadata={"gates": table})]

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        from lifecycle.evaluation.gates import REPORT
        from lifecycle.evaluation.report_pages import headline, read_markdown

        directory = published.artifact.path
        figures = json.loads((directory / REPORT).read_text(encoding="utf-8"))
        return {
            "verdict": dg.MetadataValue.md("\n".join(f"- {line}" for line in headline(figures))),
            "report": dg.MetadataValue.md(read_markdown(directory)),
            "report page": dg.MetadataValue.path(str(directory / "report.html")),
        }

    inputs = {"base_eval": base_eval, "sft_eval": sft_eval, "dpo_eval": dpo_eval, "heldout_text": heldout_text}
    return runner.materialize(context, stages.EVAL_REPORT, inputs, build, checks=gates, show=show)


@dg.asset(
    group_name=EVALUATION,
    kinds={"mlflow"},
    owners=[RECIPE.owner],
    code_version="1",
    io_manager_key="artifacts",
    dagster_type=ANY,
)
def champion(
    context: dg.AssetExecutionContext, runner: StageRunner, eval_report: Artifact, dpo_model: Artifact
) -> dg.MaterializeResult:
    """The registry alias `champion`: moved to this model version only when every blocking gate of it holds.

    The gates are those of the recipe as it is now, decided on a report that measured exactly this model.
    """
    from lifecycle.evaluation.gates import decide_gates

    _check_measured(runner, eval_report, dpo_model)
    gates = decide_gates(eval_report.path, runner.recipe.gates)
    promotion = runner.tracking.promote(runner.recipe.name, dpo_model, gates)
    context.log.info("%s", promotion.reason)
    return dg.MaterializeResult(
        value=dpo_model,
        metadata={
            "promoted": promotion.moved,
            "reason": promotion.reason,
            "champion": promotion.champion or "none yet",
            "gates": dg.MetadataValue.json([result.model_dump() for result in gates]),
        },
        data_version=dg.DataVersion(promotion.champion_digest or "none"),
    )
