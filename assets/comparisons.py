"""What the report shows beside the evaluations: contamination, controls of fine-tuning, win rates by judges and registry."""

import os
from dataclasses import replace
from pathlib import Path

import dagster as dg

from assets.evaluation import evaluate, prompt_files
from assets.policy import EVALUATION, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Workspace
from lifecycle.references import input_references
from lifecycle.stages import Stage, evaluated_model
from resources.launchers.base import Launcher
from resources.stages import StageRunner


def contamination_asset(stage: Stage) -> dg.AssetsDefinition:
    """The asset `contamination` of a recipe that asks for it."""

    @stage_asset(stage, EVALUATION, {"parquet"}, by_name=True)
    def contamination(context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact) -> dg.MaterializeResult:
        """Which items of the evaluation sets stand in what the models were trained on, by shared passages and questions."""
        config = runner.recipe.evaluation.contamination
        assert config is not None

        def build(workspace: Workspace) -> dict:
            from lifecycle.evaluation.contamination import build_contamination
            from lifecycle.evaluation.trained_on import TrainingArtifact

            read = {name: artifact for name, artifact in inputs.items() if name not in stages.CONTAMINATION.inputs}
            return build_contamination(
                inputs[stages.BASE_EVAL.name].path,
                inputs[stages.HELDOUT_TEXT.name].path,
                [TrainingArtifact(name, artifact.path, artifact.digest) for name, artifact in read.items()],
                config,
                runner.store.open().results,
                workspace.out,
            )

        return runner.materialize(context, stage, inputs, build)

    return contamination


def sft_controls_asset(stage: Stage) -> dg.AssetsDefinition:
    """The asset `sft_controls` of a recipe that asks for it."""

    @stage_asset(stage, EVALUATION, {"pytorch", "deepspeed"}, accelerator=True, by_name=True)
    def sft_controls(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """Fine-tuning with phases or selection left to chance, beside the recipe's own: their losses on the way."""

        def build(workspace: Workspace) -> dict:
            from lifecycle.evaluation.sft_controls import build_sft_controls

            return build_sft_controls(
                {name: artifact.path for name, artifact in inputs.items()},
                runner.recipe,
                lambda job: launcher.run(context, job),
                workspace.run_dir.name,
                workspace.out,
                workspace.run_dir,
            )

        return runner.materialize(context, stage, inputs, build)

    return sft_controls


def comparisons_asset(stage: Stage) -> dg.AssetsDefinition:
    """The asset `comparisons` of a recipe that asks for it."""

    @stage_asset(stage, EVALUATION, {"pytorch"}, accelerator=True, by_name=True)
    def comparisons(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """The last model's answers against those of SFT and of registered versions, by reference score and every judge."""
        registered = _registered(context, runner, launcher, inputs)
        evaluation = stages.rounds_of(RECIPE)[-1].evaluation.name
        others = {"sft": inputs[stages.SFT_EVAL.name].path} | {label: made.path for label, made in registered.items()}

        def build(workspace: Workspace) -> dict:
            from lifecycle.evaluation.comparisons import build_comparisons

            return build_comparisons(
                evaluated_model(evaluation),
                inputs[evaluation].path,
                others,
                lambda against: _judges(context, runner, launcher, workspace, inputs, against),
                runner.recipe.evaluation.seed,
                workspace.out,
            )

        given = inputs | {f"{stages.REGISTERED_EVAL}/{label}": made for label, made in registered.items()}
        return runner.materialize(
            context, replace(stage, inputs=tuple(given)), given, build, snapshots=lambda: _reward_model(runner)
        )

    return comparisons


def _registered(
    context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, inputs: dict[str, Artifact]
) -> dict[str, Artifact]:
    """Evaluations of the versions that the recipe names, by `NAME/VERSION`; one that was evaluated before is reused."""
    recipe, model = runner.recipe, inputs[stages.rounds_of(RECIPE)[-1].model.name]
    heldout = inputs[stages.HELDOUT_TEXT.name]
    stage = replace(stages.BASE_EVAL, name=stages.REGISTERED_EVAL, inputs=("model", stages.HELDOUT_TEXT.name))
    found = {}
    for version in runner.tracking.versions_to_compare(recipe.evaluation.compare_with, recipe.name, model):
        given = {"model": version.artifact, stages.HELDOUT_TEXT.name: heldout}

        def build(workspace: Workspace, measured: Artifact = version.artifact) -> dict:
            return evaluate(context, runner, launcher, workspace, "registered", measured, heldout)

        context.log.info("comparing with %s", version.label)
        found[version.label] = (
            runner.store.open()
            .materialize(
                stage.name,
                stage.code_version,
                stage.identity(recipe, None),
                input_references(stage, given, prompt_files(runner)),
                build,
            )
            .artifact
        )
    return found


def _reward_model(runner: StageRunner) -> dict[str, str]:
    from lifecycle.corpora.snapshot import file_snapshots

    return file_snapshots(runner.recipe.evaluation.models_read())


def _judges(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    workspace: Workspace,
    inputs: dict[str, Artifact],
    against: str,
) -> dict:
    """The recipe's judges of one comparison, whose programs run in a place of their own."""
    from lifecycle.digests import digest_json
    from lifecycle.preferences.pairs import judge_of
    from lifecycle.preferences.sampling import ModelFolder, Programs

    reward = None
    if stages.REWARD_MODEL.name in inputs:
        reward = ModelFolder(inputs[stages.REWARD_MODEL.name].path, inputs[stages.REWARD_MODEL.name].digest)
    for read in runner.recipe.evaluation.models_read():
        path = Path(os.path.expanduser(os.path.expandvars(read.path)))
        reward = ModelFolder(path, _reward_model(runner)[read.name])
    programs = Programs(
        launch=lambda job: launcher.run(context, job),
        run_dir=workspace.run_dir / against.replace("/", "_"),
        fingerprint=digest_json([workspace.run_dir.name, against])[:32],
        cache=runner.store.open().results,
    )
    return {judge.kind: judge_of(judge, runner.recipe, reward, programs) for judge in runner.recipe.evaluation.judges}


MAKERS = {
    stages.CONTAMINATION.name: contamination_asset,
    stages.SFT_CONTROLS.name: sft_controls_asset,
    stages.COMPARISONS.name: comparisons_asset,
}
further = [MAKERS[stage.name](stage) for stage in stages.further_of(RECIPE)]
