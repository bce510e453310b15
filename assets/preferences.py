"""Preference pairs: existing ones, and answers of the SFT model judged against a reference."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import PREFERENCES, stage_asset
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
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


@stage_asset(stages.PREFERENCE_PAIRS, PREFERENCES, {"parquet", "pytorch"}, accelerator=True)
def preference_pairs(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    raw_preferences: Artifact,
    instructions: Artifact,
    sft_model: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """Several answers of the SFT model to each prompt, scored against the reference and paired with a margin."""

    def build(workspace: Workspace) -> dict:
        from lifecycle.preferences.pairs import build_preference_pairs

        return build_preference_pairs(
            raw_preferences.path,
            instructions.path,
            sft_model.path,
            heldout_text.path,
            runner.recipe.preferences,
            workspace.out,
            workspace.run_dir,
            launch=lambda job: launcher.run(context, job),
            fingerprint=workspace.run_dir.name,
        )

    inputs = {
        "raw_preferences": raw_preferences,
        "instructions": instructions,
        "sft_model": sft_model,
        "heldout_text": heldout_text,
    }
    return runner.materialize(context, stages.PREFERENCE_PAIRS, inputs, build)
