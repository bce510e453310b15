"""The optional data map and selection, in the graph of a recipe that has `instructions.embeddings` and `.selection`."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import INSTRUCTIONS, stage_asset
from assets.recipe import RECIPE
from assets.selection_metadata import selection_metadata
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.recipe.selection import ENCODER, EncoderEmbeddings
from lifecycle.stages import Stage
from resources.launchers.base import Launcher
from resources.stages import StageRunner


def embeddings_assets(stage: Stage | None) -> list[dg.AssetsDefinition]:
    """The asset that places conversations in a space, or none where the recipe asks for none."""
    if stage is None:
        return []
    lexical = RECIPE.instructions.embeddings is not None and RECIPE.instructions.embeddings.kind == "lexical"
    kinds = {"numpy", "scikitlearn" if lexical else "pytorch"}

    @stage_asset(stage, INSTRUCTIONS, kinds, accelerator=not lexical, by_name=True)
    def instruction_embeddings(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """Every kept conversation as a point, and the data map; nothing is decided here, so it is made once."""
        config = runner.recipe.instructions.embeddings
        assert config is not None

        def snapshots() -> dict[str, str]:
            from lifecycle.corpora.snapshot import snapshot

            return {name: snapshot(each).digest for name, each in config.read().items()}

        def build(workspace: Workspace) -> dict:
            from lifecycle.instructions.embeddings import Encoder, build_instruction_embeddings
            from lifecycle.jobs import ModelFolder
            from lifecycle.pretrained import start_directory

            base = inputs.get(stages.BASE_MODEL.name)
            model = ModelFolder(base.path, base.digest) if base else None
            if isinstance(config, EncoderEmbeddings):
                folder = start_directory(config.model, "instructions.embeddings.model")
                model = ModelFolder(folder, snapshots()[ENCODER])
            encoder = Encoder(model, runner.store.open().results, lambda job: launcher.run(context, job)) if model else None
            return build_instruction_embeddings(
                inputs[stages.INSTRUCTIONS.name].path, config, encoder, workspace.out, workspace.run_dir
            )

        return runner.materialize(context, stage, inputs, build, snapshots=snapshots)

    return [instruction_embeddings]


def selection_assets(stage: Stage | None) -> list[dg.AssetsDefinition]:
    """The asset that chooses what is trained on, or none where the recipe trains on everything."""
    if stage is None:
        return []

    @stage_asset(stage, INSTRUCTIONS, {"parquet", "scikitlearn"}, by_name=True)
    def selected_instructions(
        context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact
    ) -> dg.MaterializeResult:
        """The conversations that are trained on: near-copies gone, the best by score within the quotas of each kind."""
        config = runner.recipe.instructions.selection
        assert config is not None

        def build(workspace: Workspace) -> dict:
            from lifecycle.instructions.selection import build_selection

            scores = inputs.get(stages.INSTRUCTION_SCORES.name)
            return build_selection(
                inputs[stages.INSTRUCTIONS.name].path,
                inputs[stages.INSTRUCTION_EMBEDDINGS.name].path,
                scores.path if scores else None,
                config,
                workspace.out,
                workspace.run_dir,
            )

        def show(published: Published) -> dict[str, dg.MetadataValue]:
            from lifecycle.ledger import Ledger

            sources = Ledger.read(published.artifact.path).sources
            return selection_metadata(published, config) | sources_metadata(sources, stage.name)

        return runner.materialize(context, stage, inputs, build, show=show)

    return [selected_instructions]


instruction_embeddings = embeddings_assets(stages.stage_of(RECIPE, stages.INSTRUCTION_EMBEDDINGS.name))
selected_instructions = selection_assets(stages.stage_of(RECIPE, stages.SELECTED_INSTRUCTIONS.name))
