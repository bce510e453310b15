"""The recipe of this code location, and the partitions that it fixes.

`LIFECYCLE_RECIPE` names the file; without it the embedded demo recipe is taken. `LIFECYCLE_HOME` is where everything
that the platform writes lives (store, tracking database, Dagster's own state).
"""

import os
from pathlib import Path

import dagster as dg

from lifecycle.recipe.recipe import load_recipe

PROJECT = Path(__file__).resolve().parents[1]
RECIPE_PATH = Path(os.environ.get("LIFECYCLE_RECIPE") or PROJECT / "deploy" / "recipes" / "demo.yaml").resolve()
HOME = Path(os.environ.get("LIFECYCLE_HOME") or ".lifecycle").resolve()
TRACKING_URI = os.environ.get("LIFECYCLE_TRACKING_URI") or f"sqlite:///{HOME / 'mlflow.db'}"

CLUSTER = os.environ.get("LIFECYCLE_CLUSTER")
"""The cluster profile of the Kubernetes launcher; without it training runs on this machine."""

RECIPE = load_recipe(RECIPE_PATH)
SOURCES = dg.StaticPartitionsDefinition([source.name for source in RECIPE.sources])
