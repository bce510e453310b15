"""Raw text in, clean text out: read, clean per source, then deduplicate and split over all sources."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.alerts import freshness
from assets.ledger_metadata import cleaning_metadata, corpus_metadata, reading_settings, source_metadata, whole_way_metadata
from assets.policy import CORPORA, stage_asset
from assets.recipe import RECIPE
from lifecycle import references, stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.digests import digest_json
from lifecycle.recipe.base import identity
from lifecycle.recipe.recipe import Recipe
from lifecycle.retention import remember
from resources.shown import pictures
from resources.stages import StageRunner

if TYPE_CHECKING:
    from lifecycle.curation.account import Way

LEDGER_BALANCES = "ledger_balances"


@stage_asset(stages.RAW_CORPORA, CORPORA, {"parquet"})
def raw_corpora(context: dg.AssetExecutionContext, runner: StageRunner) -> dg.MaterializeResult:
    """Documents as read from one source, one row each, with damaged records counted in the ledger."""
    from lifecycle.corpora.read import read_source
    from lifecycle.corpora.snapshot import Snapshot, snapshot

    recipe = runner.recipe
    source = recipe.source(context.partition_key)

    taken: list[Snapshot] = []
    cache = runner.store.open().results / "raw_corpora"

    def build(workspace: Workspace) -> dict:
        return read_source(source, workspace.out, workspace.run_dir, recipe.curation.workers, cache, taken[0])

    def snapshots() -> dict[str, str]:
        taken.append(snapshot(source, cache))
        return {references.SNAPSHOT: taken[-1].digest}

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        return _account(published, source.name) | pictures(published.run_dir) | reading_settings(source)

    return runner.materialize(context, stages.RAW_CORPORA, {}, build, snapshots=snapshots, show=show)


def cleaned_corpora_asset(scored: bool) -> dg.AssetsDefinition:
    """The asset `cleaned_corpora`; with a quality model (`scored`) that is one more thing that it is made from."""
    stage = stages.SCORED_CORPORA if scored else stages.CLEANED_CORPORA
    about = "One source after normalisation, language and quality rules; every drop under a named rule."
    if not scored:

        @stage_asset(stage, CORPORA, {"parquet", "numba"}, description=about)
        def cleaned_corpora(
            context: dg.AssetExecutionContext, runner: StageRunner, raw_corpora: Artifact
        ) -> dg.MaterializeResult:
            return _clean(context, runner, stage, {"raw_corpora": raw_corpora})

        return cleaned_corpora

    @stage_asset(stage, CORPORA, {"parquet", "numba"}, description=f"{about} The quality model is the last of them.")
    def scored_corpora(
        context: dg.AssetExecutionContext, runner: StageRunner, raw_corpora: Artifact, quality_model: Artifact
    ) -> dg.MaterializeResult:
        return _clean(context, runner, stage, {"raw_corpora": raw_corpora, "quality_model": quality_model})

    return scored_corpora


def _clean(
    context: dg.AssetExecutionContext, runner: StageRunner, stage: stages.Stage, inputs: dict[str, Artifact]
) -> dg.MaterializeResult:
    source = runner.recipe.source(context.partition_key)
    config = runner.recipe.curation.of(source)

    def build(workspace: Workspace) -> dict:
        from lifecycle.curation.clean import clean_source
        from lifecycle.curation.model import ModelRule

        section = runner.recipe.quality_model
        model = ModelRule(inputs["quality_model"].path, section.min_score) if section else None
        cache = runner.store.open().results / "cleaned_corpora"
        return clean_source(inputs["raw_corpora"].path, source.name, config, workspace.out, workspace.run_dir, cache, model)

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        return _account(published, source.name) | pictures(published.run_dir) | cleaning_metadata(source, config)

    return runner.materialize(context, stage, inputs, build, show=show)


cleaned_corpora = cleaned_corpora_asset(scored=RECIPE.quality_model is not None)


def _account(published: Published, source: str) -> dict[str, dg.MetadataValue]:
    from lifecycle.ledger import Ledger

    (ledger,) = Ledger.read(published.artifact.path).sources
    return source_metadata(ledger, published.artifact.stage)


@stage_asset(
    stages.CORPUS,
    CORPORA,
    {"parquet", "numba"},
    checks=[
        dg.AssetCheckSpec(
            LEDGER_BALANCES,
            asset="corpus",
            blocking=True,
            description="read = kept + sum of drops for every source. When it fails, a stage lost documents without an "
            "account: do not train on this corpus, report the source named in the metadata.",
        )
    ],
    freshness_policy=freshness(RECIPE.operation.alerts),
)
def corpus(
    context: dg.AssetExecutionContext, runner: StageRunner, cleaned_corpora: dict[str, Artifact]
) -> dg.MaterializeResult:
    """All sources together, each text once, split into training and held-out text before anything is trained."""
    from lifecycle.corpora.snapshot import file_snapshots
    from lifecycle.curation.account import ways

    cleaned = {name: artifact.path for name, artifact in cleaned_corpora.items()}
    store = runner.store.open()

    def build(workspace: Workspace) -> dict:
        from lifecycle.curation.corpus import build_corpus

        cache = store.results / "corpus"
        return build_corpus(cleaned, runner.recipe.curation, workspace.out, workspace.run_dir, cache)

    def whole_way(published: Published) -> "dict[str, Way]":
        raw = {name: store.input_artifact(artifact, "raw_corpora").path for name, artifact in cleaned_corpora.items()}
        return ways(raw, cleaned, published.artifact.path)

    def balance(published: Published) -> list[dg.AssetCheckResult]:
        try:
            found = whole_way(published)
        except ValueError as error:
            return [dg.AssetCheckResult(passed=False, check_name=LEDGER_BALANCES, metadata={"problem": str(error)})]
        table = {name: {"read": way.total.read, "kept": way.total.kept} for name, way in found.items()}
        return [dg.AssetCheckResult(passed=True, check_name=LEDGER_BALANCES, metadata={"ledger": table})]

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        try:
            found = whole_way(published)
        except ValueError:  # `ledger_balances` says so
            return {}
        page = _ledger_page(runner.recipe, found, published)
        account = {"ledger page": dg.MetadataValue.path(str(page))} | whole_way_metadata(found)
        return account | pictures(page.parent) | corpus_metadata(found, published.artifact.path, runner.recipe.curation)

    inputs = {"cleaned_corpora": cleaned_corpora}

    def snapshots() -> dict[str, str]:
        return file_snapshots(runner.recipe.curation.files_read())

    made = runner.materialize(context, stages.CORPUS, inputs, build, snapshots=snapshots, checks=balance, show=show)
    if runner.recipe.operation.retention:
        remember(store, runner.recipe.name, made.value, runner.recipe.operation.retention)
    return made


def _ledger_page(recipe: Recipe, found: "Mapping[str, Way]", published: Published) -> Path:
    """The page of the whole way, beside the corpus, as it tells of the earlier stages what the corpus's bytes do not
    depend on; written once for each state of what it shows."""
    from lifecycle.curation.ledger_page import PAGE, write_ledger

    shown = {
        "recipe": identity(recipe),
        "corpus": published.artifact.digest,
        "ledgers": {name: way.total.model_dump(mode="json") for name, way in found.items()},
    }
    directory = published.run_dir / "ledger" / digest_json(shown)[:12]
    page = directory / PAGE
    return page if page.exists() else write_ledger(recipe, found, published.artifact.path, directory)


@stage_asset(stages.HELDOUT_TEXT, CORPORA, {"parquet"})
def heldout_text(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Text and evaluation items that no training stage reads: bits per byte, questions, and win-rate prompts."""

    def build(workspace: Workspace) -> dict:
        from lifecycle.evaluation.heldout import build_heldout_text

        recipe = runner.recipe
        max_bytes, seed = recipe.curation.heldout.max_bytes, recipe.evaluation.seed
        return build_heldout_text(corpus.path, max_bytes, seed, workspace.out, workspace.run_dir)

    return runner.materialize(context, stages.HELDOUT_TEXT, {"corpus": corpus}, build)
