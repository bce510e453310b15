"""Models trained on preferences: DPO in rounds, and where the recipe asks for them KTO and the reward model."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.models import program_job
from assets.policy import PREFERENCES, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.recipe.alignment import FEW_PAIRS, few_pairs
from lifecycle.rounds import Round
from lifecycle.stages import Stage
from resources.launchers.base import Launcher
from resources.stages import StageRunner

ENOUGH_PAIRS, STILL_ANSWERS = "enough_pairs", "still_answers"
KINDS = {"pytorch", "huggingface"}
ENOUGH = (
    f"At least {FEW_PAIRS} preference pairs were trained on. When it warns: raise `preferences.prompts` or `candidates`, "
    "lower `min_margin`, or name files of pairs; the ledger of `preference_pairs` says where the others went."
)
ANSWERS = (
    "The held-out answers are not all much less probable than under the reference. When it warns, the model forgets how to "
    "answer: raise `beta`, lower `learning_rate` or `epochs`, or (DPO) add `sft` to `loss_type`."
)


def dpo_model_asset(which: Round) -> dg.AssetsDefinition:
    """The model of one round."""
    stage, description = which.model, f"{which.start.name} aligned with direct preference optimization by TRL's trainer."
    checks = [_check(stage, ENOUGH_PAIRS, ENOUGH), _check(stage, STILL_ANSWERS, ANSWERS)]

    @stage_asset(stage, PREFERENCES, KINDS, accelerator=True, checks=checks, description=description, by_name=True)
    def dpo_model(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        config = runner.recipe.dpo
        given = {"model": inputs[which.start.name], "pairs": inputs[which.pairs.name]}
        settings = {"dpo": config.model_dump()} | _reference(runner, given["model"], given["pairs"])

        def warn(published: Published) -> list[dg.AssetCheckResult]:
            pairs = int(published.manifest.facts["rows"])
            few = pairs < FEW_PAIRS
            said = {"pairs": pairs} | ({"warning": few_pairs(pairs)} if few else {})
            return [_warning(ENOUGH_PAIRS, not few, said), _still_answers(published)]

        build = _trained(context, launcher, stage, "lifecycle.training.preference", settings, given, config.processes)
        return runner.materialize(context, stage, inputs, build, checks=warn)

    return dpo_model


def kto_model_asset() -> dg.AssetsDefinition:
    """The asset `kto_model` of a recipe with the section `kto`."""
    stage = stages.KTO_MODEL

    @stage_asset(stage, PREFERENCES, KINDS, accelerator=True, checks=[_check(stage, STILL_ANSWERS, ANSWERS)])
    def kto_model(
        context: dg.AssetExecutionContext,
        runner: StageRunner,
        launcher: Launcher,
        sft_model: Artifact,
        raw_preferences: Artifact,
        preference_pairs: Artifact,
        heldout_text: Artifact,
    ) -> dg.MaterializeResult:
        """The SFT model aligned with Kahneman-Tversky optimization (Ethayarajh et al. 2024) on answers wanted or not."""
        config = runner.recipe.kto
        assert config is not None
        given = {"model": sft_model, "preferences": raw_preferences, "pairs": preference_pairs, "heldout": heldout_text}
        settings = {"kto": config.model_dump()} | _reference(runner, sft_model, raw_preferences)
        inputs = dict(zip(stage.inputs, given.values(), strict=True))
        build = _trained(context, launcher, stage, "lifecycle.training.kto", settings, given, config.processes)
        return runner.materialize(context, stage, inputs, build, checks=lambda published: [_still_answers(published)])

    return kto_model


def reward_model_asset() -> dg.AssetsDefinition:
    """The asset `reward_model` of a recipe with the section of that name."""
    stage = stages.REWARD_MODEL

    @stage_asset(stage, PREFERENCES, KINDS, accelerator=True)
    def reward_model(
        context: dg.AssetExecutionContext,
        runner: StageRunner,
        launcher: Launcher,
        sft_model: Artifact,
        preference_pairs: Artifact,
    ) -> dg.MaterializeResult:
        """A sequence classifier that scores answers, from the SFT model and the pairs of the first round."""
        config = runner.recipe.reward_model
        assert config is not None
        given = {"model": sft_model, "pairs": preference_pairs}
        settings = {"reward_model": config.model_dump()}
        build = _trained(context, launcher, stage, "lifecycle.training.reward", settings, given, config.processes)
        inputs = {"sft_model": sft_model, "preference_pairs": preference_pairs}
        return runner.materialize(context, stage, inputs, build)

    return reward_model


def _trained(
    context: dg.AssetExecutionContext,
    launcher: Launcher,
    stage: Stage,
    program: str,
    settings: dict[str, Any],
    given: dict[str, Artifact],
    processes: int,
) -> Callable[[Workspace], dict[str, Any]]:
    directories = {name: str(artifact.path) for name, artifact in given.items()}
    return lambda workspace: launcher.run(context, program_job(stage, workspace, program, settings, directories, processes))


def _reference(runner: StageRunner, model: Artifact, data: Artifact) -> dict[str, Any]:
    """Where the reference's log-probabilities are kept, and what by."""
    results = str(runner.store.open().results)
    return {"reference": {"model": model.digest, "data": data.digest, "results": results}}


def _check(stage: Stage, name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=stage.name, description=description)


def _still_answers(published: Published) -> dg.AssetCheckResult:
    facts = published.manifest.facts
    shown = {name: facts[name] for name in ("heldout_chosen_logp", "heldout_rejected_logp", "heldout_kl") if name in facts}
    return _warning(STILL_ANSWERS, not facts["log_probabilities_collapsed"], shown)


def _warning(name: str, passed: bool, said: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, check_name=name, severity=dg.AssetCheckSeverity.WARN, metadata=said)


aligned_models = [
    *(dpo_model_asset(each) for each in stages.rounds_of(RECIPE)),
    *([kto_model_asset()] if RECIPE.kto else []),
    *([reward_model_asset()] if RECIPE.reward_model else []),
]
