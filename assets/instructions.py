"""Conversations for supervised fine-tuning."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import INSTRUCTIONS, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.stages import Stage
from resources.stages import StageRunner


def raw_instructions_asset(stage: Stage, number: int = 1) -> dg.AssetsDefinition:
    """What is read for round `number`: the recipe's own conversations for the first, what it adds for a later one."""

    @stage_asset(stage, INSTRUCTIONS, {"parquet"})
    def raw_instructions(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
        """Conversations from the documentation in the corpus, those of the recipe's own files, and those about itself."""
        from lifecycle.corpora.snapshot import file_snapshots

        config = runner.recipe.in_round(number).instructions

        def build(workspace: Workspace) -> dict:
            from lifecycle.instructions.raw import build_raw_instructions

            return build_raw_instructions(corpus.path, config, workspace.out, workspace.run_dir)

        def snapshots() -> dict[str, str]:
            return file_snapshots(config.sources)

        return runner.materialize(context, stage, {"corpus": corpus}, build, snapshots=snapshots, show=_show)

    return raw_instructions


def instructions_asset(stage: Stage, number: int = 1) -> dg.AssetsDefinition:
    """What cleaning keeps of it."""

    @stage_asset(stage, INSTRUCTIONS, {"parquet"}, by_name=True)
    def instructions(context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact) -> dg.MaterializeResult:
        """Conversations that passed every rule, none from a held-out document; claims to be another model rewritten."""
        raw, tokenizer, heldout = (inputs[name].path for name in stage.inputs)

        def build(workspace: Workspace) -> dict:
            from lifecycle.instructions.clean import build_instructions

            config = runner.recipe.in_round(number).instructions
            return build_instructions(raw, tokenizer, heldout, config, workspace.out, workspace.run_dir)

        return runner.materialize(context, stage, inputs, build, show=_show)

    return instructions


def _show(published: Published) -> dict[str, dg.MetadataValue]:
    from lifecycle.ledger import Ledger

    return sources_metadata(Ledger.read(published.artifact.path).sources, published.artifact.stage)


raw_instructions = raw_instructions_asset(stages.RAW_INSTRUCTIONS)
instructions = instructions_asset(stages.INSTRUCTIONS)
added_instructions = [
    asset
    for each in stages.tunings_of(RECIPE)
    for asset in (raw_instructions_asset(each.raw, each.number), instructions_asset(each.instructions, each.number))
]
