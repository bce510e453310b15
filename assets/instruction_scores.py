"""The optional scores of kept conversations, in the graph of a recipe that has a section `instructions.scores`."""

import dagster as dg

from assets.policy import INSTRUCTIONS, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Workspace
from lifecycle.recipe.instruction_scores import MODEL, InstructionScores
from resources.launchers.base import Launcher
from resources.stages import StageRunner

ABOUT = "How hard each kept conversation is for the {model} model, and what else is scored; rows are never dropped here."


def instruction_scores_assets(config: InstructionScores | None) -> list[dg.AssetsDefinition]:
    """The asset that scores, or none where the recipe asks for none; a given model takes the place of the base model."""
    if config is None:
        return []
    stage = stages.SCORES_BY_GIVEN_MODEL if config.model else stages.INSTRUCTION_SCORES
    about = ABOUT.format(model="given" if config.model else "base")

    @stage_asset(stage, INSTRUCTIONS, {"parquet", "pytorch"}, accelerator=True, description=about, by_name=True)
    def instruction_scores(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        return _score(context, runner, launcher, inputs)

    return [instruction_scores]


def _score(
    context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, inputs: dict[str, Artifact]
) -> dg.MaterializeResult:
    config = runner.recipe.instructions.scores
    assert config is not None
    read = config.read()

    def snapshots() -> dict[str, str]:
        from lifecycle.corpora.snapshot import snapshot

        return {name: snapshot(each).digest for name, each in read.items()}

    def build(workspace: Workspace) -> dict:
        from lifecycle.instructions.quality import build_instruction_scores
        from lifecycle.jobs import ModelFolder
        from lifecycle.pretrained import start_directory

        if config.model:
            model = ModelFolder(start_directory(config.model, "instructions.scores.model"), snapshots()[MODEL])
        else:
            model = ModelFolder(inputs["base_model"].path, inputs["base_model"].digest)
        return build_instruction_scores(
            inputs["instructions"].path,
            inputs["tokenizer"].path,
            model,
            config,
            runner.store.open().results,
            workspace.out,
            workspace.run_dir,
            launch=lambda job: launcher.run(context, job),
        )

    stage = stages.SCORES_BY_GIVEN_MODEL if config.model else stages.INSTRUCTION_SCORES
    return runner.materialize(context, stage, inputs, build, snapshots=snapshots)


instruction_scores = instruction_scores_assets(RECIPE.instructions.scores)
