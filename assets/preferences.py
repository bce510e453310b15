"""Preference pairs: existing ones, and answers of each round's model judged against a reference."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import PREFERENCES, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.stages import Round
from resources.launchers.base import Launcher
from resources.stages import StageRunner


@stage_asset(stages.RAW_PREFERENCES, PREFERENCES, {"parquet"})
def raw_preferences(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Pairs that exist before any model answers: the recipe's files, and pairs made from documentation."""
    from lifecycle.corpora.snapshot import file_snapshots

    def build(workspace: Workspace) -> dict:
        from lifecycle.preferences.raw import build_raw_preferences

        return build_raw_preferences(corpus.path, runner.recipe.preferences.sources, workspace.out, workspace.run_dir)

    def snapshots() -> dict[str, str]:
        return file_snapshots(runner.recipe.preferences.sources)

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        from lifecycle.ledger import Ledger

        ledgers = Ledger.read(published.artifact.path).sources
        return sources_metadata(ledgers, published.artifact.stage) if ledgers else {}

    return runner.materialize(context, stages.RAW_PREFERENCES, {"corpus": corpus}, build, snapshots=snapshots, show=show)


def preference_pairs_asset(which: Round) -> dg.AssetsDefinition:
    """The pairs of one round."""
    about = f"Several answers of {which.start.name} to each prompt, scored against the reference and paired with a margin."

    @stage_asset(which.pairs, PREFERENCES, {"parquet", "pytorch"}, accelerator=True, description=about, by_name=True)
    def preference_pairs(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        def build(workspace: Workspace) -> dict:
            from lifecycle.preferences.pairs import build_preference_pairs

            return build_preference_pairs(
                inputs["raw_preferences"].path,
                inputs["instructions"].path,
                inputs[which.start.name].path,
                inputs["heldout_text"].path,
                runner.recipe.preferences,
                workspace.out,
                workspace.run_dir,
                launch=lambda job: launcher.run(context, job),
                fingerprint=workspace.run_dir.name,
            )

        return runner.materialize(context, which.pairs, inputs, build)

    return preference_pairs


pairs_of_rounds = [preference_pairs_asset(each) for each in stages.rounds_of(RECIPE)]
