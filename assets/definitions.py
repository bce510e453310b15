"""The one list of everything that Dagster loads."""

import os

import dagster as dg

from assets import (
    alignment,
    comparisons,
    corpora,
    evaluation,
    instruction_scores,
    instructions,
    models,
    planning,
    preferences,
    quality,
    selection,
    tokens,
)
from assets.cluster import cluster_executor, sweep_schedule
from assets.console import console
from assets.recipe import CLUSTER, HOME, RECIPE, RECIPE_PATH, TRACKING_URI
from resources.launchers.kubernetes.launcher import KubernetesLauncher
from resources.launchers.local import LocalLauncher
from resources.stages import StageRunner
from resources.store import ArtifactIOManager, StoreResource
from resources.tracking import TrackingResource

LEARN_QUALITY = "learn_quality"
CURATE = "curate"
TRAIN_AND_ALIGN = "train_and_align"
PLAN = "plan_next_run"

STORE_ROOT = str(HOME / "store")

store = StoreResource(root=STORE_ROOT)
tracking = TrackingResource(tracking_uri=TRACKING_URI, store_root=STORE_ROOT)

assets = dg.load_assets_from_modules(
    [
        planning,
        corpora,
        quality,
        tokens,
        models,
        instructions,
        instruction_scores,
        selection,
        preferences,
        alignment,
        evaluation,
        comparisons,
    ],
    key_prefix=RECIPE.name,
)

learnt = dg.AssetSelection.assets(*([[RECIPE.name, "quality_model"]] if RECIPE.quality_model else []))
looked_at = dg.AssetSelection.assets([RECIPE.name, "plan"])
per_source = dg.AssetSelection.assets([RECIPE.name, "raw_corpora"], [RECIPE.name, "cleaned_corpora"])

defs = dg.Definitions(
    assets=assets,
    jobs=[
        *(
            [dg.define_asset_job(LEARN_QUALITY, learnt, description="Train the quality model that cleaning asks.")]
            if RECIPE.quality_model
            else []
        ),
        dg.define_asset_job(PLAN, looked_at, description="Look what a run would reuse, make or fail at; makes nothing."),
        dg.define_asset_job(CURATE, per_source, description="Read and clean one source (one partition)."),
        dg.define_asset_job(
            TRAIN_AND_ALIGN,
            dg.AssetSelection.all() - per_source - learnt - looked_at,
            description="From cleaned sources to the evaluated, registered model.",
        ),
    ],
    resources={
        "runner": StageRunner(recipe_path=str(RECIPE_PATH), store=store, tracking=tracking),
        "launcher": KubernetesLauncher(profile_path=CLUSTER) if CLUSTER else LocalLauncher(),
        "artifacts": ArtifactIOManager(root=STORE_ROOT),
    },
    executor=cluster_executor() if CLUSTER and "KUBERNETES_SERVICE_HOST" in os.environ else None,
    schedules=[sweep_schedule(CLUSTER)] if CLUSTER else [],
    loggers={"console": console},
)
