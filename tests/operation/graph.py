"""The real graph of a recipe, driven as the daemon would: `python -m tests.operation.graph TICK…` in a home of its own.

Evaluates each named schedule or sensor in turn, runs what it asks for, and prints a line of JSON for each; `touch:FILE`
makes an empty file, `base` a base model of the memmap as it is, and `recipe:FILE` reloads the code location with another
recipe. Nothing more is imported where worker processes begin with this module.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LAUNCHED_ONLY = {"train_when_due"}
"""What would take a GPU is looked at, not run."""


def main() -> None:
    from assets.run import prepare_home

    prepare_home(Path(os.environ["LIFECYCLE_HOME"]), Path(os.environ["LIFECYCLE_RECIPE"]))
    import dagster as dg

    cursors: dict[str, str | None] = {}
    defs = load()
    repository = defs.get_repository_def()
    with dg.DagsterInstance.get() as instance:
        for name in sys.argv[1:]:
            if name.startswith("touch:"):
                Path(name.removeprefix("touch:")).touch()
                continue
            if name.startswith("recipe:"):
                os.environ["LIFECYCLE_RECIPE"] = name.removeprefix("recipe:")
                defs = load()
                repository = defs.get_repository_def()
                continue
            if name == "base":
                make_base()
                continue
            if repository.has_schedule_def(name):
                later = datetime.now(UTC) + timedelta(minutes=5)  # what was written just now has been left alone by then
                context = dg.build_schedule_context(instance, scheduled_execution_time=later, repository_def=repository)
                definition = repository.get_schedule_def(name)
                tick = definition.evaluate_tick(context)
            else:
                context = dg.build_sensor_context(instance, cursor=cursors.get(name), repository_def=repository)
                definition = repository.get_sensor_def(name)
                tick = definition.evaluate_tick(context)
                cursors[name] = tick.cursor
            requests = tick.run_requests or ()
            asked = [definition.job_name for _ in requests]
            ran = [] if name in LAUNCHED_ONLY else [run(defs, instance, definition.job_name, each) for each in requests]
            print(json.dumps({"tick": name, "asked": asked, "ran": ran, "skipped": tick.skip_message}), flush=True)


def load() -> Any:
    """The definitions of the recipe in LIFECYCLE_RECIPE, as a code location that was started anew has them."""
    for name in [name for name in sys.modules if name.split(".")[0] == "assets"]:
        del sys.modules[name]
    from assets.definitions import defs

    return defs


def make_base() -> None:
    """A base model's place in store, registry, lineage and use of GPUs; its weights are a file of text."""
    from assets.recipe import HOME, RECIPE, TRACKING_URI
    from lifecycle.artifacts import Store, Workspace
    from lifecycle.jobs import TrainingJob
    from lifecycle.stages import BASE_MODEL
    from lifecycle.tracking.runs import record
    from lifecycle.usage import counted
    from tests.operation.small import make

    store = Store(HOME / "store")

    def train(workspace: Workspace) -> None:
        directories = {"output": str(workspace.out), "run_dir": str(workspace.run_dir)}
        fingerprint = workspace.run_dir.name
        job = TrainingJob(
            stage=BASE_MODEL.name, fingerprint=fingerprint, program="none", config={}, inputs={}, **directories
        )
        with counted(job, "by hand"):
            (workspace.out / "weights.txt").write_text("weights")

    made = make(store, RECIPE, BASE_MODEL, write=train)
    published = store.find(made.stage, made.fingerprint)
    assert published
    asset = f"{RECIPE.name}/base_model"
    assert record(TRACKING_URI, published, asset=asset, recipe_name=RECIPE.name, tags={}, store_root=store.root)


def run(defs: Any, instance: Any, job: str, request: Any) -> dict[str, Any]:
    """Run what was asked for, in this process."""
    done = defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=request.partition_key, tags=dict(request.tags), raise_on_error=False
    )
    evaluations = done.get_asset_check_evaluations()
    return {
        "job": job,
        "source": request.partition_key,
        "success": done.success,
        "made": [event.asset_key.path[-1] for event in done.get_asset_materialization_events()],
        "checks": {each.check_name: [each.passed, each.description] for each in evaluations},
    }


if __name__ == "__main__":
    main()
