"""A recipe with two sources of files, and a graph small enough to be run a thousand times: only what is made is simple."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from assets.jobs import CURATE
from assets.launches import intent_tags
from lifecycle import stages
from lifecycle.artifacts import Artifact, Store, Workspace
from lifecycle.corpora.snapshot import snapshot
from lifecycle.files import write_atomically
from lifecycle.recipe.recipe import Recipe, load_recipe
from lifecycle.references import input_references
from lifecycle.stages import Stage

RECIPE = """
name: small
sources:
  - {name: news, kind: text, path: "DIRECTORY/news", licence: test data}
  - {name: books, kind: text, path: "DIRECTORY/books", licence: test data}
base_model:
  training: {steps: 8, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
instructions: {max_tokens: 64, sources: [{kind: files, name: asked, path: "DIRECTORY/none", licence: test data}]}
sft: {training: {steps: 1, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}}
gates: [{metric: heldout_bits_per_byte/bits_per_byte, model: base, at_most: 9.0}]
operation: OPERATION
"""


def small_recipe(directory: Path, operation: str, change: Callable[[str], str] = lambda text: text) -> Recipe:
    """The recipe above, with files of its own below `directory`."""
    for name in ("news", "books"):
        (directory / name).mkdir(exist_ok=True)
        if not any((directory / name).iterdir()):
            (directory / name / "first.txt").write_text(f"The first of the {name}.")
    path = directory / "recipe.yaml"
    path.write_text(change(RECIPE.replace("DIRECTORY", str(directory)).replace("OPERATION", operation)), encoding="utf-8")
    return load_recipe(path)


def make(
    store: Store,
    recipe: Recipe,
    stage: Stage,
    source: str | None = None,
    write: Callable[[Workspace], None] = lambda workspace: None,
    **facts: Any,
) -> Artifact:
    """An artifact of this stage, of the inputs as they are, which from now on is the asset's."""
    inputs: dict[str, Artifact | dict[str, Artifact]] = {}
    for name in stage.inputs:
        upstream = stages.stage_of(recipe, name)
        assert upstream
        if upstream.per_source and source is None:
            inputs[name] = {each.name: current(store, recipe, name, each.name) for each in recipe.sources}
        else:
            inputs[name] = current(store, recipe, name, source if upstream.per_source else None)
    raw = {"snapshot": snapshot(recipe.source(source)).digest} if stage is stages.RAW_CORPORA and source else {}

    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "data.txt").write_text(f"{inputs} {raw}")
        write(workspace)
        return facts

    references = input_references(stage, inputs, raw)
    made = store.materialize(stage.name, stage.code_version, stage.identity(recipe, source), references, build).artifact
    write_atomically(reference(store, recipe, stage.name, source), made.model_dump_json())
    return made


def current(store: Store, recipe: Recipe, stage: str, source: str | None) -> Artifact:
    return Artifact.model_validate_json(reference(store, recipe, stage, source).read_text(encoding="utf-8"))


def reference(store: Store, recipe: Recipe, stage: str, source: str | None) -> Path:
    return store.root / ".refs" / recipe.name / stage / f"{source or 'artifact'}.json"


def curate_source(store: Store, recipe: Recipe, source: str) -> None:
    for stage in (stages.RAW_CORPORA, stages.CLEANED_CORPORA):
        make(store, recipe, stage, source)


def curate_job(store: Store, recipe: Recipe, broken: set[str]) -> dg.JobDefinition:
    """A job in place of `curate`, with its name, tags and partitions; sources in `broken` cannot be read."""

    @dg.op(name="read")
    def read(context: dg.OpExecutionContext) -> None:
        if context.partition_key in broken:
            raise OSError(f"{context.partition_key} cannot be read")
        curate_source(store, recipe, context.partition_key)

    partitions = dg.StaticPartitionsDefinition([source.name for source in recipe.sources])

    @dg.job(name=CURATE, partitions_def=partitions, tags=intent_tags(recipe.name, CURATE))
    def curate() -> None:
        read()

    return curate
