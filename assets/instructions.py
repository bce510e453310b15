"""Conversations for supervised fine-tuning."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import INSTRUCTIONS, stage_asset
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from resources.stages import StageRunner


@stage_asset(stages.RAW_INSTRUCTIONS, INSTRUCTIONS, {"parquet"})
def raw_instructions(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Conversations made from the documentation in the corpus, those of the recipe's own files, and those about itself."""
    from lifecycle.corpora.snapshot import file_snapshots

    def build(workspace: Workspace) -> dict:
        from lifecycle.instructions.raw import build_raw_instructions

        return build_raw_instructions(corpus.path, runner.recipe.instructions, workspace.out, workspace.run_dir)

    def snapshots() -> dict[str, str]:
        return file_snapshots(runner.recipe.instructions.sources)

    return runner.materialize(context, stages.RAW_INSTRUCTIONS, {"corpus": corpus}, build, snapshots=snapshots, show=_show)


@stage_asset(stages.INSTRUCTIONS, INSTRUCTIONS, {"parquet"})
def instructions(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    raw_instructions: Artifact,
    tokenizer: Artifact,
    heldout_text: Artifact,
) -> dg.MaterializeResult:
    """Conversations that passed every rule, none of them from a held-out document; claims to be another model rewritten."""

    def build(workspace: Workspace) -> dict:
        from lifecycle.instructions.clean import build_instructions

        return build_instructions(
            raw_instructions.path,
            tokenizer.path,
            heldout_text.path,
            runner.recipe.instructions,
            workspace.out,
            workspace.run_dir,
        )

    inputs = {"raw_instructions": raw_instructions, "tokenizer": tokenizer, "heldout_text": heldout_text}
    return runner.materialize(context, stages.INSTRUCTIONS, inputs, build, show=_show)


def _show(published: Published) -> dict[str, dg.MetadataValue]:
    from lifecycle.ledger import Ledger

    return sources_metadata(Ledger.read(published.artifact.path).sources, published.artifact.stage)
