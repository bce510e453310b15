"""Runs one stage for one asset: reuse or build, record, and tell Dagster what a person wants to see."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.errors import DataError
from lifecycle.recipe.recipe import Recipe, parse_recipe
from lifecycle.references import input_references
from lifecycle.stages import Stage
from lifecycle.usage import hours_of
from resources.shown import pictures, shown, table
from resources.store import References, StoreResource, metadata_size
from resources.tracking import TrackingResource

Build = Callable[[Workspace], dict[str, Any]]
Checks = Callable[[Published], Sequence[dg.AssetCheckResult]]
Show = Callable[[Published], Mapping[str, dg.MetadataValue]]

PROCESS_HOURS = "process-hours"
"""Of all jobs that ran for the artifact: GPU-hours where there are GPUs, since each process holds one."""
INPUTS_SHOWN = 12
DIGEST_SHOWN = 12
"""Of inputs, and of characters of their digests."""


class StageRunner(dg.ConfigurableResource, use_attribute_docstrings=True):
    """What every asset calls: the recipe, the artifact store and the tracking server, used in one order."""

    recipe_path: str
    """The recipe that this run reads. The graph itself is that of LIFECYCLE_RECIPE: name another file only where it has the
    same sources and stages."""
    store: dg.ResourceDependency[StoreResource]
    tracking: dg.ResourceDependency[TrackingResource]

    _recipe: tuple[str, Recipe] | None = PrivateAttr(default=None)

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was when this run's process first asked.

        An edit of the file while a stage runs must not change what the stage's fingerprint already stands for.
        """
        return self._read()[1]

    def _read(self) -> tuple[str, Recipe]:
        """The recipe's text, and what it says."""
        if self._recipe is None:
            text = Path(self.recipe_path).read_text(encoding="utf-8")
            self._recipe = text, parse_recipe(text, self.recipe_path)
        return self._recipe

    def materialize(
        self,
        context: dg.AssetExecutionContext,
        stage: Stage,
        inputs: Mapping[str, References],
        build: Build,
        snapshots: Callable[[], Mapping[str, str]] | None = None,
        checks: Checks | None = None,
        show: Show | None = None,
    ) -> dg.MaterializeResult[Artifact]:
        """Return the stage's artifact, building it with `build` only when no artifact of its fingerprint exists.

        Args:
            inputs: the artifacts that the asset received, by asset name.
            snapshots: gives the digests of raw files that the stage reads itself, by name.
            checks: asset check results computed from what was published, also when it was reused.
            show: what a person wants to see first, from what was published; it takes the place of nested facts. It is asked
                before anything is recorded and before `checks`, and may write pages into the run's directory.
        """
        source = context.partition_key if stage.per_source else None  # a run of one source may go on to all of them
        recipe = self.recipe
        before = snapshots() if snapshots else {}

        def build_of_what_was_hashed(workspace: Workspace) -> dict[str, Any]:
            with self.tracking.following(context, stage.name, workspace.run_dir, recipe.name):
                facts = build(workspace)
            if snapshots and snapshots() != before:
                raise DataError(f"{stage.name}: its raw files changed while they were read; run it again")
            return facts

        published = self.store.open().materialize(
            stage.name,
            stage.code_version,
            stage.identity(recipe, source),
            input_references(stage, inputs, before),
            build_of_what_was_hashed,
        )
        first = show(published) if show else {}
        run_id = self.tracking.record(context, published, *self._read(), source)
        manifest = published.manifest
        verb = "reused" if published.reused else f"made in {manifest.seconds:.1f} s"
        context.log.info("%s %s (%s)", stage.name, verb, _headline(manifest.facts))
        return dg.MaterializeResult(
            value=published.artifact,
            metadata=_metadata(published, first, self.store.open().root) | self.tracking.link(run_id),
            data_version=dg.DataVersion(published.artifact.digest),
            check_results=list(checks(published)) if checks else None,
        )


def _headline(facts: Mapping[str, Any]) -> str:
    numbers = {key: value for key, value in facts.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    words = [f"{key.replace('_', ' ')} {value:,.3f}".removesuffix(".000") for key, value in numbers.items()]
    return ", ".join(words[:4]) or "no figures"


def _metadata(published: Published, first: Mapping[str, Any], store: Path) -> dict[str, Any]:
    """In the order in which the UI lists it: what is asked for most on top; then from what, how long and at what cost."""
    manifest = published.manifest
    metadata: dict[str, Any] = {"dagster/uri": published.artifact.uri}
    if "rows" in manifest.facts:
        metadata["dagster/row_count"] = int(manifest.facts["rows"])
    metadata |= first
    for key, picture in pictures(published.run_dir).items():
        metadata.setdefault(key, picture)
    for key, value in manifest.facts.items():
        if key not in {"rows", *first} and not (first and isinstance(value, dict | list)):
            metadata[key] = shown(value)
    made_from = [{"input": each.name, "digest": each.digest[:DIGEST_SHOWN]} for each in manifest.inputs]
    hours = hours_of(store, manifest.fingerprint)
    return metadata | {
        "made from": table(made_from, INPUTS_SHOWN),
        "reused": published.reused,
        "seconds": manifest.seconds,
        **({PROCESS_HOURS: round(hours, 4)} if hours else {}),
        "size": metadata_size(sum(entry.size for entry in manifest.files)),
        "files": len(manifest.files),
        "fingerprint": manifest.fingerprint,
        "digest": manifest.digest,
    }
