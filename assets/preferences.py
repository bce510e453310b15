"""Preference pairs: existing ones, and answers of each round's model judged against a reference."""

import dagster as dg

from assets.ledger_metadata import sources_metadata
from assets.policy import PREFERENCES, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.rounds import Round
from resources.launchers.base import Launcher
from resources.shown import shown
from resources.stages import StageRunner

SHOWN = ("judges", "agreement", "length", "length_before_balance", "tasks", "languages", "sampling", "warnings")


@stage_asset(stages.RAW_PREFERENCES, PREFERENCES, {"parquet"})
def raw_preferences(context: dg.AssetExecutionContext, runner: StageRunner, corpus: Artifact) -> dg.MaterializeResult:
    """Pairs that exist before any model answers: the recipe's files, and pairs made from documentation."""
    from lifecycle.corpora.snapshot import file_snapshots

    def build(workspace: Workspace) -> dict:
        from lifecycle.preferences.raw import build_raw_preferences

        return build_raw_preferences(corpus.path, runner.recipe.preferences.sources, workspace.out, workspace.run_dir)

    def snapshots() -> dict[str, str]:
        return file_snapshots(runner.recipe.preferences.sources)

    def show(published: Published) -> dict[str, dg.MetadataValue]:
        from lifecycle.ledger import Ledger

        ledgers = Ledger.read(published.artifact.path).sources
        return sources_metadata(ledgers, published.artifact.stage) if ledgers else {}

    return runner.materialize(context, stages.RAW_PREFERENCES, {"corpus": corpus}, build, snapshots=snapshots, show=show)


def preference_pairs_asset(which: Round) -> dg.AssetsDefinition:
    """The pairs of one round."""
    about = f"Several answers of {which.start.name} (and other models) to each prompt, judged and paired with a margin."

    @stage_asset(which.pairs, PREFERENCES, {"parquet", "pytorch"}, accelerator=True, description=about, by_name=True)
    def preference_pairs(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        recipe = runner.recipe
        digests: dict[str, str] = {}

        def build(workspace: Workspace) -> dict:
            from lifecycle.jobs import ModelFolder
            from lifecycle.preferences.pairs import build_preference_pairs
            from lifecycle.preferences.sampling import Programs, folders

            own = {name: inputs[name] for name in (which.start.name, stages.REWARD_MODEL.name) if name in inputs}
            models = {name: ModelFolder(artifact.path, artifact.digest) for name, artifact in own.items()}
            return build_preference_pairs(
                inputs["raw_preferences"].path,
                inputs["instructions"].path,
                models | folders(recipe.preferences, digests),
                inputs["heldout_text"].path,
                recipe,
                workspace.out,
                Programs(
                    launch=lambda job: launcher.run(context, job),
                    run_dir=workspace.run_dir,
                    fingerprint=workspace.run_dir.name,
                    cache=runner.store.open().results,
                ),
            )

        def snapshots() -> dict[str, str]:
            from lifecycle.corpora.snapshot import file_snapshots

            digests.update(file_snapshots((*recipe.curation.evaluation_files(), *recipe.preferences.files_read())))
            return dict(digests)

        return runner.materialize(context, which.pairs, inputs, build, snapshots=snapshots, show=_show_pairs)

    return preference_pairs


def _show_pairs(published: Published) -> dict[str, dg.MetadataValue]:
    """Pairs side by side, what became of everything, and what the judges did."""
    from lifecycle.ledger import Ledger

    facts = published.manifest.facts
    ledgers = Ledger.read(published.artifact.path).sources
    return {
        "samples_markdown": dg.MetadataValue.md(facts["samples_markdown"]),
        **sources_metadata(ledgers, published.artifact.stage),
        **{name: shown(facts[name]) for name in SHOWN},
    }


pairs_of_rounds = [preference_pairs_asset(each) for each in stages.rounds_of(RECIPE)]
