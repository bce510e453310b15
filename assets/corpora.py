"""Raw text in, clean text out: read, clean per source, then deduplicate and split over all sources."""

import dagster as dg

from assets.policy import CORPORA, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from resources.stages import StageRunner

LEDGER_BALANCES = "ledger_balances"


@stage_asset(stages.RAW_CORPORA, CORPORA, {"parquet"})
def raw_corpora(context: dg.AssetExecutionContext, runner: StageRunner) -> dg.MaterializeResult:
    """Documents as read from one source, one row each, with damaged records counted in the ledger."""
    from lifecycle.corpora.read import read_source
    from lifecycle.corpora.snapshot import Snapshot, snapshot

    recipe = runner.recipe
    source = recipe.source(context.partition_key)

    taken: list[Snapshot] = []

    def build(workspace: Workspace) -> dict:
        cache = runner.store.open().results / "raw_corpora"
        return read_source(source, workspace.out, workspace.run_dir, recipe.curation.workers, cache, taken[0])

    def snapshots() -> dict[str, str]:
        taken.append(snapshot(source))
        return {stages.SNAPSHOT: taken[-1].digest}

    return runner.materialize(context, stages.RAW_CORPORA, {}, build, snapshots=snapshots)


def cleaned_corpora_asset(scored: bool) -> dg.AssetsDefinition:
    """The asset `cleaned_corpora`; with a quality model (`scored`) that is one more thing that it is made from."""
    stage = stages.SCORED_CORPORA if scored else stages.CLEANED_CORPORA
    about = "One source after normalisation, language, quality and exact-duplicate rules; every drop under a named rule."
    if not scored:

        @stage_asset(stage, CORPORA, {"parquet", "polars"}, description=about)
        def cleaned_corpora(
            context: dg.AssetExecutionContext, runner: StageRunner, raw_corpora: Artifact
        ) -> dg.MaterializeResult:
            return _clean(context, runner, stage, {"raw_corpora": raw_corpora})

        return cleaned_corpora

    @stage_asset(stage, CORPORA, {"parquet", "polars"}, description=f"{about} The quality model is the last of them.")
    def scored_corpora(
        context: dg.AssetExecutionContext, runner: StageRunner, raw_corpora: Artifact, quality_model: Artifact
    ) -> dg.MaterializeResult:
        return _clean(context, runner, stage, {"raw_corpora": raw_corpora, "quality_model": quality_model})

    return scored_corpora


def _clean(
    context: dg.AssetExecutionContext, runner: StageRunner, stage: stages.Stage, inputs: dict[str, Artifact]
) -> dg.MaterializeResult:
    recipe, source = runner.recipe, context.partition_key

    def build(workspace: Workspace) -> dict:
        from lifecycle.curation.clean import clean_source
        from lifecycle.curation.model import ModelRule

        config, section = recipe.curation.of(recipe.source(source)), recipe.quality_model
        model = ModelRule(inputs["quality_model"].path, section.min_score) if section else None
        cache = runner.store.open().results / "cleaned_corpora"
        return clean_source(inputs["raw_corpora"].path, source, config, workspace.out, workspace.run_dir, cache, model)

    return runner.materialize(context, stage, inputs, build)


cleaned_corpora = cleaned_corpora_asset(scored=RECIPE.quality_model is not None)


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
)
def corpus(
    context: dg.AssetExecutionContext, runner: StageRunner, cleaned_corpora: dict[str, Artifact]
) -> dg.MaterializeResult:
    """All sources together, each text once, split into training and held-out text before anything is trained."""
    from lifecycle.corpora.snapshot import file_snapshots

    def build(workspace: Workspace) -> dict:
        from lifecycle.curation.corpus import build_corpus

        cleaned = {name: artifact.path for name, artifact in cleaned_corpora.items()}
        cache = runner.store.open().results / "corpus"
        return build_corpus(cleaned, runner.recipe.curation, workspace.out, workspace.run_dir, cache)

    def balance(published: Published) -> list[dg.AssetCheckResult]:
        from lifecycle.curation.account import account

        cleaned = {name: artifact.path for name, artifact in cleaned_corpora.items()}
        store = runner.store.open()
        raw = {name: store.input_artifact(artifact, "raw_corpora").path for name, artifact in cleaned_corpora.items()}
        try:
            accounts = account(raw, cleaned, published.artifact.path)
        except ValueError as error:
            return [dg.AssetCheckResult(passed=False, check_name=LEDGER_BALANCES, metadata={"problem": str(error)})]
        table = {name: {"read": a.read, "kept": a.kept, "dropped": a.dropped} for name, a in accounts.items()}
        return [dg.AssetCheckResult(passed=True, check_name=LEDGER_BALANCES, metadata={"ledger": table})]

    inputs = {"cleaned_corpora": cleaned_corpora}

    def snapshots() -> dict[str, str]:
        return file_snapshots(runner.recipe.curation.files_read())

    return runner.materialize(context, stages.CORPUS, inputs, build, snapshots=snapshots, checks=balance)


@stage_asset(stages.HELDOUT_TEXT, CORPORA, {"parquet"})
def heldout_text(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Text and evaluation items that no training stage reads: bits per byte, questions, and win-rate prompts."""

    def build(workspace: Workspace) -> dict:
        from lifecycle.evaluation.heldout import build_heldout_text

        evaluation = runner.recipe.evaluation
        return build_heldout_text(
            corpus.path,
            runner.recipe.curation.heldout.max_bytes,
            evaluation.max_items,
            evaluation.win_rate_prompts,
            evaluation.seed,
            workspace.out,
            workspace.run_dir,
        )

    return runner.materialize(context, stages.HELDOUT_TEXT, {"corpus": corpus}, build)
