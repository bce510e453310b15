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
from assets.alerts import alert_checks, alert_sensors
from assets.automation import automation
from assets.cluster import cluster_executor, sweep_schedule
from assets.console import console
from assets.jobs import jobs
from assets.recipe import CLUSTER, HOME, RECIPE, RECIPE_PATH, TRACKING_URI
from assets.training_due import training_checks
from resources.launchers.kubernetes.launcher import KubernetesLauncher
from resources.launchers.local import LocalLauncher
from resources.stages import StageRunner
from resources.store import ArtifactIOManager, StoreResource
from resources.tracking import TrackingResource
from resources.webhook import Webhook

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

automatic = list(automation(RECIPE, store.open()))

defs = dg.Definitions(
    assets=assets,
    asset_checks=[*training_checks(RECIPE), *alert_checks(RECIPE)],
    jobs=list(jobs(RECIPE)),
    resources={
        "runner": StageRunner(recipe_path=str(RECIPE_PATH), store=store, tracking=tracking),
        "launcher": KubernetesLauncher(profile_path=CLUSTER) if CLUSTER else LocalLauncher(),
        "artifacts": ArtifactIOManager(root=STORE_ROOT),
        "webhook": Webhook(),
    },
    executor=cluster_executor() if CLUSTER and "KUBERNETES_SERVICE_HOST" in os.environ else None,
    schedules=[
        *([sweep_schedule(CLUSTER)] if CLUSTER else []),
        *(each for each in automatic if isinstance(each, dg.ScheduleDefinition)),
    ],
    sensors=[*(each for each in automatic if isinstance(each, dg.SensorDefinition)), *alert_sensors(RECIPE)],
    loggers={"console": console},
)
