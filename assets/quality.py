"""The optional quality model, in the graph of a recipe that has a section `quality_model`."""

import dagster as dg

from assets.policy import CORPORA, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Workspace
from lifecycle.recipe.quality import QualityModelConfig, samples
from resources.stages import StageRunner


def quality_model_assets(config: QualityModelConfig | None) -> list[dg.AssetsDefinition]:
    """The asset that trains the model, or none where the recipe asks for none."""
    if config is None:
        return []

    @stage_asset(stages.QUALITY_MODEL, CORPORA, {"scikitlearn"})
    def quality_model(context: dg.AssetExecutionContext, runner: StageRunner) -> dg.MaterializeResult:
        """What good text looks like, learnt from labelled samples; `cleaned_corpora` drops what scores low."""
        recipe = runner.recipe
        assert recipe.quality_model is not None
        section, labelled = recipe.quality_model, samples(recipe, recipe.quality_model)

        def build(workspace: Workspace) -> dict:
            from lifecycle.curation.model_training import train_quality_model

            language_score = recipe.curation.min_language_score
            return train_quality_model(labelled, section, language_score, workspace.out, workspace.run_dir)

        def snapshots() -> dict[str, str]:
            from lifecycle.corpora.snapshot import snapshot

            return {name: snapshot(source).digest for name, (source, _) in labelled.items()}

        return runner.materialize(context, stages.QUALITY_MODEL, {}, build, snapshots=snapshots)

    return [quality_model]


quality_model = quality_model_assets(RECIPE.quality_model)
