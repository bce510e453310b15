"""The tokenizer, and text as token memmaps."""

import dagster as dg

from assets.policy import INSTRUCTIONS, TOKENS, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Workspace
from lifecycle.stages import Stage
from resources.stages import StageRunner


@stage_asset(stages.TOKENIZER, TOKENS, {"huggingface"})
def tokenizer(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Byte-level BPE trained on the corpus, or a base tokenizer, perhaps with new pieces; saved with its chat template."""

    def build(workspace: Workspace) -> dict:
        from lifecycle.tokens.tokenizer import build_tokenizer

        return build_tokenizer(corpus.path, runner.recipe.tokenizer, workspace.out, workspace.run_dir)

    return runner.materialize(context, stages.TOKENIZER, {"corpus": corpus}, build)


if stages.PRETRAIN_MEMMAP in stages.stages_of(RECIPE):  # a given model that is taken as it is reads no text

    @stage_asset(stages.PRETRAIN_MEMMAP, TOKENS, {"numpy"})
    def pretrain_memmap(
        context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact, tokenizer: Artifact
    ) -> dg.MaterializeResult:
        """The training text as one array of tokens, documents in seeded order, ready to be read sequentially."""

        def build(workspace: Workspace) -> dict:
            from lifecycle.tokens.build import build_pretrain_memmap
            from lifecycle.tokens.mix import source_shares

            recipe = runner.recipe
            shares = source_shares(recipe.sources)
            return build_pretrain_memmap(
                corpus.path, tokenizer.path, shares, recipe.mix, recipe.mix_seed, workspace.out, workspace.run_dir
            )

        return runner.materialize(context, stages.PRETRAIN_MEMMAP, {"corpus": corpus, "tokenizer": tokenizer}, build)


def sft_memmap_asset(stage: Stage, number: int = 1) -> dg.AssetsDefinition:
    """The memmap that fine-tuning reads: the recipe's own, or that of a later round."""

    @stage_asset(stage, INSTRUCTIONS, {"numpy"}, by_name=True)
    def sft_memmap(context: dg.AssetExecutionContext, runner: StageRunner, **inputs: Artifact) -> dg.MaterializeResult:
        """Conversations rendered by the chat template, as tokens with a loss mask over the answers."""

        def build(workspace: Workspace) -> dict:
            from lifecycle.instructions.quality import difficulties
            from lifecycle.tokens.build_sft import build_sft_memmap

            recipe, scores = runner.recipe.in_round(number), inputs.get(stages.INSTRUCTION_SCORES.name)
            return build_sft_memmap(
                inputs[stage.inputs[0]].path,
                inputs["tokenizer"].path,
                recipe.instructions.max_tokens,
                recipe.sft.heldout,
                recipe.mix_seed,
                workspace.out,
                workspace.run_dir,
                difficulty=difficulties(scores.path) if scores else None,
            )

        return runner.materialize(context, stage, inputs, build)

    return sft_memmap


sft_memmap = sft_memmap_asset(stages.sft_memmap_of(RECIPE))
sft_memmaps_of_rounds = [sft_memmap_asset(each.memmap, each.number) for each in stages.tunings_of(RECIPE)]
