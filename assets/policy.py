"""Policy that holds for every asset of the graph, applied in one place."""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from assets.recipe import CLUSTER, RECIPE, SOURCES
from lifecycle.stages import Stage

OVERVIEW = "0_overview"
CORPORA = "1_corpora"
TOKENS = "2_tokens"
PRETRAINING = "3_pretraining"
INSTRUCTIONS = "4_instructions"
PREFERENCES = "5_preferences"
EVALUATION = "6_evaluation"
"""Group names sort in the order of the life, which is how the Dagster UI lists them."""

ANY = dg.PythonObjectDagsterType(object, "ArtifactReference")
"""Without it Dagster takes the annotation `MaterializeResult` to mean that an asset passes nothing on."""

GPU_POOL = "gpu"
"""Stages that want the GPUs (on a laptop: all cores) run one at a time."""

LIGHT_STEP = {
    "container_config": {"resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
    "pod_spec_config": {"termination_grace_period_seconds": 180},
}
"""In a cluster, a step that only follows a training's own Job; cancelled, it waits for the checkpoint."""


def stage_asset(
    stage: Stage,
    group: str,
    kinds: set[str],
    accelerator: bool = False,
    checks: Iterable[dg.AssetCheckSpec] | None = None,
    description: str | None = None,
    by_name: bool = False,
    freshness_policy: dg.FreshnessPolicy | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset that makes the artifact of `stage`; the decorated function's parameters are its dependencies.

    Args:
        description: what the UI says, in place of the function's docstring.
        by_name: the function takes the stage's inputs as `**inputs`, for stages whose inputs a recipe decides.
    """
    return dg.asset(
        name=stage.name,
        ins={name: dg.AssetIn() for name in stage.inputs} if by_name else None,
        group_name=group,
        description=description,
        kinds=kinds,
        owners=[RECIPE.owner],
        code_version=stage.code_version,
        partitions_def=SOURCES if stage.per_source else None,
        pool=GPU_POOL if accelerator else None,
        op_tags={"dagster-k8s/config": LIGHT_STEP} if accelerator and CLUSTER else None,
        check_specs=list(checks) if checks else None,
        io_manager_key="artifacts",
        dagster_type=ANY,
        freshness_policy=freshness_policy,
    )
