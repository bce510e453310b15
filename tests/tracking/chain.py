"""A small life, from a raw source to a DPO model, as real artifacts in a real store: what lineage and plan walk over."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Store, Workspace
from lifecycle.digests import digest_json
from lifecycle.recipe.recipe import Recipe, load_recipe
from lifecycle.references import input_references
from lifecycle.stages import Stage

SNAPSHOTS = {"standard_library": digest_json("bytes of a"), "packages": digest_json("bytes of b")}

Build = Callable[[Workspace], dict[str, Any]]

RECIPE = """
name: small
sources:
  - {name: standard_library, kind: python_docs, packages: [stdlib], licence: PSF-2.0}
  - {name: packages, kind: python_docs, packages: [numpy], licence: BSD-3-Clause}
base_model:
  training: {steps: 1200, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
instructions:
  max_tokens: 64
  sources: [{kind: documented_objects, sources: [standard_library]}]
sft:
  training: {steps: 300, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
gates: [{metric: kind_of_object/acc, model: sft, at_least: 0.4}]
"""


def small_recipe(directory: Path, change: Callable[[str], str] = lambda text: text) -> Recipe:
    """The recipe above, through the real loader; `change` edits its text."""
    path = directory / "recipe.yaml"
    path.write_text(change(RECIPE), encoding="utf-8")
    return load_recipe(path)


def writes(content: str, **facts: Any) -> Callable[[Workspace], dict[str, Any]]:
    """A stage that writes one file."""

    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "data.txt").write_text(content, encoding="utf-8")
        return {"rows": len(content), **facts}

    return build


def make_all(
    recipe: Recipe, store: Store, until: str | None = None, build: Mapping[str, Build] | None = None
) -> dict[str, Published | dict[str, Published]]:
    """Materialize every stage of the recipe, up to `until`; `build` writes the files of some, others say what they are."""
    made: dict[str, Published | dict[str, Published]] = {}
    for stage in stages.stages_of(recipe):
        if stage.per_source:
            made[stage.name] = {
                source.name: _make(recipe, store, stage, source.name, made, build) for source in recipe.sources
            }
        else:
            made[stage.name] = _make(recipe, store, stage, None, made, build)
        if stage.name == until:
            break
    return made


def _make(
    recipe: Recipe,
    store: Store,
    stage: Stage,
    source: str | None,
    made: Mapping[str, Any],
    build: Mapping[str, Build] | None,
) -> Published:
    inputs: dict[str, Artifact | dict[str, Artifact]] = {}
    for name in stage.inputs:
        upstream = made[name]
        if isinstance(upstream, Published):
            inputs[name] = upstream.artifact
        elif source is None:
            inputs[name] = {key: published.artifact for key, published in upstream.items()}
        else:
            inputs[name] = upstream[source].artifact
    raw = {"snapshot": SNAPSHOTS[source]} if stage is stages.RAW_CORPORA and source else {}
    write = (build or {}).get(stage.name, writes(f"{stage.name} {source}", loss=0.5))
    return store.materialize(
        stage.name, stage.code_version, stage.identity(recipe, source), input_references(stage, inputs, raw), write
    )
