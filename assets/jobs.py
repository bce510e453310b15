"""Jobs for the usual intents. Stages that want the GPUs wait for their pool in whichever job they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from assets.launches import intent_tags
from assets.policy import EVALUATION, INSTRUCTIONS, PREFERENCES, PRETRAINING, TOKENS
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import QUALITY_MODEL, memmap_stages, stages_of

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

LEARN_QUALITY = "learn_quality"
CURATE = "curate"
MEMMAPS = "memmaps"
PRETRAIN = "pretrain"
ALIGN = "align"
EVALUATE = "evaluate"
TRAIN_AND_ALIGN = "train_and_align"
EVERYTHING = "everything"
PLAN = "plan_next_run"

ABOUT = {
    LEARN_QUALITY: "Train the quality model that cleaning asks.",
    CURATE: "Read and clean sources, a run for each that you choose. Takes no GPU.",
    MEMMAPS: "From the cleaned sources to token memmaps: one corpus, its tokenizer, the tokens. Takes no GPU.",
    PRETRAIN: "Train the base model on the corpus as it is. Takes the GPUs.",
    ALIGN: "Instructions, SFT, preference pairs and what is trained on them, from the base model as it is. Takes the GPUs.",
    EVALUATE: "Measure all models, write the report, and move the champion if its gates hold. Takes the GPUs.",
    TRAIN_AND_ALIGN: "From cleaned sources to the evaluated, registered model.",
    PLAN: "Look what a run would reuse, make or fail at; makes nothing.",
    EVERYTHING: "Raw sources to champion. Choose all sources, or the one that is to be read anew.",
}


def jobs(recipe: Recipe) -> Iterator["UnresolvedAssetJobDefinition"]:
    """The jobs of a recipe's graph; each run carries the recipe and the intent as tags."""
    per_source = _assets(recipe, *(stage.name for stage in stages_of(recipe) if stage.per_source))
    looked_at = _assets(recipe, "plan")
    selections = {
        CURATE: per_source,
        MEMMAPS: _assets(recipe, *(stage.name for stage in memmap_stages(recipe))),
        PRETRAIN: dg.AssetSelection.groups(TOKENS, PRETRAINING),
        ALIGN: dg.AssetSelection.groups(INSTRUCTIONS, PREFERENCES),
        EVALUATE: dg.AssetSelection.groups(EVALUATION),
        TRAIN_AND_ALIGN: dg.AssetSelection.all() - per_source - looked_at,
        EVERYTHING: dg.AssetSelection.all() - looked_at,
        PLAN: looked_at,
    }
    if recipe.quality_model:
        selections[LEARN_QUALITY] = _assets(recipe, QUALITY_MODEL.name)
        selections[TRAIN_AND_ALIGN] -= selections[LEARN_QUALITY]
    for name, selection in selections.items():
        yield dg.define_asset_job(name, selection, description=ABOUT[name], tags=intent_tags(recipe.name, name))


def _assets(recipe: Recipe, *names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*([recipe.name, name] for name in names))
