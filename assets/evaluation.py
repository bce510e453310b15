"""Evaluation of each model, the report, and the champion of the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.policy import ANY, EVALUATION, stage_asset
from assets.recipe import RECIPE
from assets.report_metadata import gate_table, report_metadata
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Store, Workspace
from lifecycle.errors import LifecycleError
from lifecycle.recipe.gates import Gate
from lifecycle.stages import Stage, evaluated_model
from resources.launchers.base import Launcher
from resources.stages import StageRunner

if TYPE_CHECKING:
    from lifecycle.evaluation.champion import Champion
    from lifecycle.evaluation.gates import GateResult
    from lifecycle.tracking.registry import RegisteredVersion

REPORT_STAGE = stages.report_of(RECIPE)
LAST_MODEL = stages.rounds_of(RECIPE)[-1].model.name
"""The model of the last round: the one that may become champion."""


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
        return evaluate(context, runner, launcher, workspace, "base", base_model, heldout_text)

    inputs = {"base_model": base_model, "heldout_text": heldout_text}
    return runner.materialize(context, stages.BASE_EVAL, inputs, build, snapshots=lambda: prompt_files(runner))


def sft_eval_asset(stage: Stage, model: str) -> dg.AssetsDefinition:
    """The evaluation of a fine-tuned model, by the name of its asset."""

    @stage_asset(stage, EVALUATION, {"pytorch"}, accelerator=True, by_name=True)
    def sft_eval(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """lm-eval tasks, bits per byte and greedy answers of the SFT model."""

        def build(workspace: Workspace) -> dict:
            name = evaluated_model(stage.name)
            return evaluate(context, runner, launcher, workspace, name, inputs[model], inputs["heldout_text"])

        return runner.materialize(context, stage, inputs, build, snapshots=lambda: prompt_files(runner))

    return sft_eval


sft_evals = [
    sft_eval_asset(stages.SFT_EVAL, stages.SFT_MODEL.name),
    *(sft_eval_asset(each.evaluation, each.model.name) for each in stages.tunings_of(RECIPE)),
]


def aligned_eval_asset(stage: Stage, model: str, reference: str, pairs: str) -> dg.AssetsDefinition:
    """The evaluation of a model that was trained on preferences, by the names of its assets."""

    @stage_asset(stage, EVALUATION, {"pytorch"}, accelerator=True, by_name=True)
    def aligned_eval(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """lm-eval tasks, bits per byte and greedy answers, and the accuracy of the implicit reward on held-out pairs."""

        def build(workspace: Workspace) -> dict:
            return evaluate(
                context,
                runner,
                launcher,
                workspace,
                evaluated_model(stage.name),
                inputs[model],
                inputs["heldout_text"],
                reference=inputs[reference].path,
                pairs=inputs[pairs].path,
            )

        return runner.materialize(context, stage, inputs, build, snapshots=lambda: prompt_files(runner))

    return aligned_eval


aligned_evals = [
    *(
        aligned_eval_asset(each.evaluation, each.model.name, each.start.name, each.pairs.name)
        for each in stages.rounds_of(RECIPE)
    ),
    *([aligned_eval_asset(stages.KTO_EVAL, *stages.KTO_EVAL.inputs[:3])] if RECIPE.kto else []),
]


def evaluate(
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
    from lifecycle.evaluation.further import Checks
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
        digest=model.digest,
        kept=runner.store.open().results,
        checks=Checks(own=runner.recipe.instructions.identity, cache=runner.store.open().results),
    )


def prompt_files(runner: StageRunner) -> dict[str, str]:
    """Digests of the prompt files that every evaluation reads."""
    from lifecycle.corpora.snapshot import file_snapshots

    return file_snapshots(runner.recipe.evaluation.files_read())


def _check_measured(runner: StageRunner, report: Artifact, model: Artifact) -> None:
    """Raises LifecycleError unless `report` measured `model` and the models that it was trained from."""
    store = runner.store.open()
    chain = []
    for each in reversed(stages.rounds_of(runner.recipe)):
        chain.append((each.evaluation, each.model, each.start))
        if each.tuning:
            chain.append((each.tuning.evaluation, each.tuning.model, each.tuning.start))
    chain += [(stages.SFT_EVAL, stages.SFT_MODEL, stages.BASE_MODEL)]
    expected = model
    for evaluation, made, start in chain:
        _check_same(store, report, evaluation, made, expected)
        expected = store.input_artifact(expected, start.name)
    _check_same(store, report, stages.BASE_EVAL, stages.BASE_MODEL, expected)


def _check_same(store: Store, report: Artifact, evaluation: Stage, made: Stage, expected: Artifact) -> None:
    measured = store.input_artifact(store.input_artifact(report, evaluation.name), made.name)
    if measured.digest != expected.digest:
        raise LifecycleError(
            f"refused: the report {report.fingerprint} measured a {made.name} of digest {measured.digest}, but the model "
            f"to promote has {expected.digest}; materialize {evaluation.name} and eval_report again first"
        )


def _gate_check(gate: Gate) -> dg.AssetCheckSpec:
    """One check; its result says the figures."""
    effect = "the champion stays where it is" if gate.blocking else "it is a warning and refuses nothing"
    return dg.AssetCheckSpec(
        gate.name,
        asset=REPORT_STAGE.name,
        description=f"{gate.metric} of the {gate.model} model must be {gate.condition()}. When it fails {effect}: look at "
        "this figure in the report, mend the data or the training, or change the gate in the recipe; then run again.",
        metadata={"blocking": gate.blocking},
    )


@stage_asset(REPORT_STAGE, EVALUATION, {"html"}, checks=map(_gate_check, RECIPE.gates), by_name=True)
def eval_report(context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact) -> dg.MaterializeResult:
    """All models side by side: gates, regressions first, intervals, the champion, what it took, samples."""
    decided: list[GateResult] = []

    def build(workspace: Workspace) -> dict:
        from lifecycle.evaluation.report import build_report

        paths = {evaluated_model(name): inputs[name].path for name in stages.evaluations_of(RECIPE)}
        beside = {each.name: inputs[each.name].path for each in stages.further_of(RECIPE)}
        heldout = inputs[stages.HELDOUT_TEXT.name].path
        return build_report(paths, heldout, runner.recipe.name, workspace.out, workspace.run_dir, beside)

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        from lifecycle.evaluation.figures import read_report
        from lifecycle.evaluation.gates import evaluate_gates
        from lifecycle.evaluation.report_pages import Shown, write_pages
        from lifecycle.provenance import stage_facts

        report, store = published.artifact, runner.store.open()
        figures = read_report(report.path)
        champion = _champion_beside(runner, store, report)
        decided.extend(evaluate_gates(figures, RECIPE.gates, champion))  # those that the checks were declared for
        shown = Shown(figures, decided, champion, stage_facts(store, report))
        write_pages(shown, published.run_dir)
        runner.tracking.describe(runner.recipe, store, report)
        return report_metadata(shown, published.run_dir)

    return runner.materialize(
        context, REPORT_STAGE, inputs, build, checks=lambda _: list(map(_check_result, decided)), show=show
    )


def _check_result(result: "GateResult") -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if result.blocking else dg.AssetCheckSeverity.WARN
    figures = result.model_dump(include={"value", "other", "standard_errors", "items", "champion"}, exclude_none=True)
    return dg.AssetCheckResult(
        passed=result.passed,
        check_name=result.name,
        severity=severity,
        description=result.said,
        metadata={"said": result.said, **figures},
    )


def _champion_beside(runner: StageRunner, store: Store, report: Artifact) -> "Champion | None":
    """What the final model of `report` is measured against now."""
    from lifecycle.evaluation.champion import Champion

    model = store.input_artifact(store.input_artifact(report, stages.rounds_of(RECIPE)[-1].evaluation.name), LAST_MODEL)
    try:
        return _compared(store, report, runner.tracking.opponent(runner.recipe.name, model))
    except LifecycleError as error:
        return Champion(label="champion", digest="", problem=str(error))


def _compared(store: Store, report: Artifact, version: "RegisteredVersion | None") -> "Champion | None":
    from lifecycle.evaluation.champion import compare_with_champion

    return compare_with_champion(store, report, version.label, version.digest, version.report) if version else None


@dg.asset(
    group_name=EVALUATION,
    kinds={"mlflow"},
    owners=[RECIPE.owner],
    code_version="2",
    io_manager_key="artifacts",
    dagster_type=ANY,
    ins={LAST_MODEL: dg.AssetIn(), REPORT_STAGE.name: dg.AssetIn()},
)
def champion(context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact) -> dg.MaterializeResult:
    """The registry alias `champion`: moved to this model version only when every blocking gate of it holds.

    The gates are those of the recipe as it is now, decided on a report that measured exactly this model, beside the
    champion of that moment.
    """
    from lifecycle.evaluation.gates import GateResult, decide_gates

    model, report = inputs[LAST_MODEL], inputs[REPORT_STAGE.name]
    _check_measured(runner, report, model)
    store, decided = runner.store.open(), list[GateResult]()

    def decide(version: "RegisteredVersion | None") -> list[GateResult]:
        decided.extend(decide_gates(report.path, runner.recipe.gates, _compared(store, report, version)))
        return decided

    promotion = runner.tracking.promote(runner.recipe.name, model, report, decide)
    context.log.info("%s", promotion.reason)
    return dg.MaterializeResult(
        value=model,
        metadata={
            "promoted": promotion.moved,
            "reason": promotion.reason,
            "champion": promotion.champion or "none yet",
            "gates": gate_table(decided),
        },
        data_version=dg.DataVersion(promotion.champion_digest or "none"),
    )
