"""The jobs of the graph: what each may ask of a machine, and one that goes on from one source to all of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets import automation, jobs
from assets.definitions import defs
from assets.launches import INTENT_TAG, PARTITION_TAG, RECIPE_TAG
from assets.policy import ANY, GPU_POOL
from lifecycle.artifacts import Artifact, Store
from lifecycle.recipe.recipe import load_recipe
from lifecycle.stages import memmap_stages
from resources.store import ArtifactIOManager
from tests.graph_home import ROOT
from tests.operation.small import curate_job, small_recipe

INTENTS = (jobs.CURATE, jobs.MEMMAPS, jobs.PRETRAIN, jobs.ALIGN, jobs.EVALUATE, jobs.EVERYTHING)


def pools(job: dg.JobDefinition) -> set[str | None]:
    return {node.definition.pool for node in job.nodes if isinstance(node.definition, dg.OpDefinition)}


@pytest.mark.parametrize("name", INTENTS)
def test_every_intent_has_a_job_that_says_what_it_does(name: str) -> None:
    job = defs.resolve_job_def(name)
    assert job.description
    assert (job.tags[RECIPE_TAG], job.tags[INTENT_TAG]) == ("demo", name)


def test_every_field_of_a_launchpad_says_what_it_is_and_has_a_value() -> None:
    config = defs.resolve_job_def(jobs.EVERYTHING).run_config_schema.config_type.fields["resources"]
    ours = {"runner", "artifacts", "launcher", "webhook"}
    shown = {name: field for name, field in config.config_type.fields.items() if name in ours}
    assert set(shown) == ours
    for name, resource in shown.items():
        assert resource.description, name
        assert not resource.is_required, name
        for field_name, field in resource.config_type.fields["config"].config_type.fields.items():
            assert field.description, f"{name}.{field_name}"


def test_what_runs_by_the_clock_asks_for_no_gpu_and_every_training_waits_for_its_turn() -> None:
    assert pools(defs.resolve_job_def(jobs.CURATE)) | pools(defs.resolve_job_def(jobs.MEMMAPS)) == {None}
    assert GPU_POOL in pools(defs.resolve_job_def(jobs.PRETRAIN))


def test_memmaps_of_conversations_that_a_model_chose_are_left_to_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = load_recipe(ROOT / "tests" / "recipes" / "tiny.yaml")
    assert [stage.name for stage in memmap_stages(chosen)] == ["corpus", "tokenizer", "pretrain_memmap"]
    given = load_recipe(ROOT / "deploy" / "recipes" / "lora-3b.yaml")
    assert [stage.name for stage in memmap_stages(given)][-1] == "sft_memmap"


@pytest.mark.parametrize("sources", [["news"], ["books", "news"]])
def test_a_run_of_one_source_goes_on_to_what_is_made_from_all(tmp_path: Path, sources: list[str]) -> None:
    """Dagster gives a run's partition to every step of it, so that the corpus once was kept as if it were a source's."""
    store = Store(tmp_path)
    given: list[object] = []

    def artifact(stage: str) -> dg.MaterializeResult:
        def build(workspace) -> dict:
            (workspace.out / "data.txt").write_text(stage)
            return {}

        return dg.MaterializeResult(value=store.materialize(stage, "1", stage, (), build).artifact)

    partitions = dg.StaticPartitionsDefinition(sources)

    @dg.asset(key_prefix="small", partitions_def=partitions, dagster_type=ANY, io_manager_key="artifacts")
    def raw(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return artifact("raw")

    @dg.asset(key_prefix="small", partitions_def=partitions, dagster_type=ANY, io_manager_key="artifacts")
    def cleaned(context: dg.AssetExecutionContext, raw: Artifact) -> dg.MaterializeResult:
        given.append(raw)
        return artifact("cleaned")

    @dg.asset(key_prefix="small", dagster_type=ANY, io_manager_key="artifacts")
    def corpus(context: dg.AssetExecutionContext, cleaned: dict[str, Artifact]) -> dg.MaterializeResult:
        given.append(sorted(cleaned))
        return artifact("corpus")

    job = dg.define_asset_job("all", dg.AssetSelection.all())
    resources = {"artifacts": ArtifactIOManager(root=str(tmp_path))}
    graph = dg.Definitions(assets=[raw, cleaned, corpus], jobs=[job], resources=resources)
    with dg.DagsterInstance.ephemeral() as instance:
        for source in sources[:-1]:
            dg.materialize([raw, cleaned], instance=instance, partition_key=source, resources=resources)
        graph.resolve_job_def("all").execute_in_process(instance=instance, partition_key=sources[-1])
    assert given[-1] == sources
    assert all(isinstance(each, Artifact) for each in given[:-1])
    kept = store.reference_path("small", "corpus", None)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_what_a_page_launched_is_waited_for_as_what_a_job_launched(tmp_path: Path) -> None:
    """A backfill from an asset's page has none of our tags: memmaps once followed each of its runs, not the last one."""
    recipe = small_recipe(tmp_path, "{schedules: [{name: nightly, cron: '0 3 * * *'}]}")
    store = Store(tmp_path / "store")
    sensor = automation.memmaps_sensor(recipe, store)
    schedule = automation.source_schedule(recipe.operation.schedules[0], recipe, store)
    partitions = dg.StaticPartitionsDefinition(["books", "news"])
    said: list[str | None] = []

    def look(instance: dg.DagsterInstance) -> None:
        repository = dg.Definitions(
            jobs=[
                curate_job(store, recipe, set()),
                dg.JobDefinition(name=jobs.MEMMAPS, graph_def=dg.GraphDefinition("none")),
            ],
            sensors=[sensor],
            schedules=[schedule],
        ).get_repository_def()
        context = dg.build_sensor_context(instance, repository_def=repository)
        said.append(repository.get_sensor_def(sensor.name).evaluate_tick(context).skip_message)
        later = datetime.now(UTC) + timedelta(hours=1)  # what was written just now has been left alone by then
        looks = dg.build_schedule_context(instance, scheduled_execution_time=later, repository_def=repository)
        asked = repository.get_schedule_def("nightly").evaluate_tick(looks).run_requests or []
        said.extend(request.partition_key for request in asked)

    @dg.asset(key_prefix=recipe.name, partitions_def=partitions)
    def raw_corpora(context: dg.AssetExecutionContext) -> None:
        assert INTENT_TAG not in context.run_tags
        assert context.run_tags[PARTITION_TAG] == "news"
        look(context.instance)

    @dg.asset(key_prefix=recipe.name)
    def corpus(context: dg.AssetExecutionContext) -> None:
        look(context.instance)

    page = dg.Definitions(assets=[raw_corpora, corpus]).resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance:
        for asset, source in ((raw_corpora, "news"), (corpus, None)):
            done = page.execute_in_process(instance=instance, asset_selection=[asset.key], partition_key=source)
            assert done.success
        look(instance)
    reading, books, making, *others = said
    assert (reading, books, making) == ("waiting for news", "books", "a run that makes them is under way")
    never, *both = others[2:]
    assert (others[:2], both) == (["news", "books"], ["news", "books"])
    assert "was never made" in (never or "")
