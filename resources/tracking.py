"""MLflow as a Dagster resource. mlflow itself is imported only when something has to be written."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from lifecycle.artifacts import Artifact, Published, Store
from lifecycle.digests import digest_json
from lifecycle.recipe.base import identity
from lifecycle.recipe.recipe import Recipe

if TYPE_CHECKING:
    from lifecycle.tracking.gate_tags import GateOutcome
    from lifecycle.tracking.promotion import Promotion
    from lifecycle.tracking.registry import RegisteredVersion


class TrackingResource(dg.ConfigurableResource, use_attribute_docstrings=True):
    """Where materializations are recorded and models registered."""

    tracking_uri: str
    """MLflow's address, as LIFECYCLE_TRACKING_URI gives it: a server's URL or `sqlite:///` and a path."""
    store_root: str
    """Directory of the artifact store, where records wait while MLflow does not answer."""

    def following(
        self, context: dg.AssetExecutionContext, stage: str, run_dir: Path, recipe_name: str
    ) -> AbstractContextManager[None]:
        """While this block runs, the metrics in the journal of `run_dir` are sent to MLflow as they come."""
        from lifecycle.tracking.following import following

        asset = context.asset_key.to_user_string()
        tags = {
            "lifecycle.asset": asset,
            "lifecycle.recipe": recipe_name,
            "lifecycle.stage": stage,
            "lifecycle.fingerprint": run_dir.name,
            "lifecycle.dagster_run_id": context.run_id,
        }
        return following(self.tracking_uri, run_dir, asset=asset, recipe_name=recipe_name, tags=tags)

    def record(
        self, context: dg.AssetExecutionContext, published: Published, text: str, recipe: Recipe, source: str | None = None
    ) -> str | None:
        """The MLflow run of this materialization; None when MLflow does not answer, which is caught up later.

        Args:
            text: the recipe as it is written, which is kept with the run.
        """
        from lifecycle.tracking.runs import record

        tags = {"lifecycle.dagster_run_id": context.run_id}
        tags["lifecycle.recipe_digest"] = digest_json(identity(recipe))
        if recipe.description:
            tags["lifecycle.description"] = recipe.description
        if recipe.intended_use:
            tags["lifecycle.intended_use"] = recipe.intended_use
        if source is not None:
            tags["lifecycle.partition"] = source
        return record(
            self.tracking_uri,
            published,
            asset=context.asset_key.to_user_string(),
            recipe_name=recipe.name,
            tags=tags,
            store_root=Path(self.store_root),
            recipe_text=text,
        )

    def link(self, run_id: str | None) -> dict[str, Any]:
        """Metadata that leads to the run."""
        if run_id is None:
            return {"mlflow_run": dg.MetadataValue.text("not recorded yet: MLflow did not answer; it is caught up later")}
        # The page looks a run up by its id alone; the experiment in its address may be any.
        return {"mlflow_run": dg.MetadataValue.url(f"{self._interface()}/#/experiments/0/runs/{run_id}")}

    def _interface(self) -> str:
        """Where people look at MLflow: what `LIFECYCLE_MLFLOW_UI` says, else the server itself.

        Inside a container the server has a name that no browser finds.
        """
        own = self.tracking_uri.rstrip("/") if self.tracking_uri.startswith("http") else "http://127.0.0.1:5000"
        return os.environ.get("LIFECYCLE_MLFLOW_UI", own)

    def versions_to_compare(self, references: Sequence[str], recipe_name: str, model: Artifact) -> "list[RegisteredVersion]":
        """The registered versions that a recipe's `evaluation.compare_with` means now, `model` itself left out."""
        from lifecycle.tracking.compared import versions_to_compare
        from lifecycle.tracking.models import registered_name

        if not references:
            return []
        own = registered_name(recipe_name, model.stage)
        return versions_to_compare(self.tracking_uri, references, own, model.digest)

    def describe(self, recipe: Recipe, store: Store, report: Artifact) -> None:
        """Write the cards of all models that `report` measured."""
        from lifecycle.tracking.card_records import update_cards
        from lifecycle.tracking.cards import About

        about = About(recipe.name, recipe.description, recipe.intended_use)
        update_cards(self.tracking_uri, store, about, report)

    def opponent(self, recipe_name: str, model: Artifact) -> "RegisteredVersion | None":
        """The version that this model is measured against; None while there is none.

        Raises:
            LifecycleError: the registry does not answer.
        """
        from lifecycle.tracking.models import registered_name
        from lifecycle.tracking.registry import opponent

        return opponent(self.tracking_uri, registered_name(recipe_name, model.stage), model.digest)

    def promote(
        self,
        recipe_name: str,
        model: Artifact,
        report: Artifact,
        decide: "Callable[[RegisteredVersion | None], Sequence[GateOutcome]]",
    ) -> "Promotion":
        """Move the recipe's champion to this model when all blocking gates hold, decided on `report` beside the champion."""
        from lifecycle.tracking.models import registered_name
        from lifecycle.tracking.promotion import promote

        return promote(
            self.tracking_uri,
            registered_name(recipe_name, model.stage),
            model.fingerprint,
            model.digest,
            decide,
            report=report.fingerprint,
            store_root=Path(self.store_root),
        )
