"""The three models. Each is trained by a program of its own, in processes of its own, under DeepSpeed."""

from pathlib import Path
from typing import Any

import dagster as dg

from assets.policy import INSTRUCTIONS, PREFERENCES, PRETRAINING, stage_asset
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Workspace
from lifecycle.jobs import TrainingJob
from lifecycle.recipe.alignment import FEW_PAIRS, few_pairs
from lifecycle.stages import Stage
from resources.launchers.base import Launcher
from resources.stages import StageRunner

ENOUGH_PAIRS = "enough_pairs"


@stage_asset(stages.BASE_MODEL, PRETRAINING, {"pytorch", "deepspeed"}, accelerator=True)
def base_model(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    pretrain_memmap: Artifact,
    tokenizer: Artifact,
) -> dg.MaterializeResult:
    """The pretrained model: next-token prediction over the memmap, from random weights or from those of a given model."""
    config = runner.recipe.base_model
    training, start = config.training, config.start
    inputs = {"pretrain_memmap": pretrain_memmap, "tokenizer": tokenizer}

    def build(workspace: Workspace) -> dict:
        directories = {"memmap": str(pretrain_memmap.path), "tokenizer": str(tokenizer.path)}
        if start:
            from lifecycle.pretrained import start_directory

            directories["model"] = str(start_directory(start))
        if training is None:
            from lifecycle.training.adopt import adopt

            return adopt(Path(directories["model"]), tokenizer.path, workspace.out)
        architecture = None if start else config.architecture.model_dump()
        settings = {"kind": "pretrain", "architecture": architecture, "training": training.model_dump()}
        program = "lifecycle.training.causal"
        job = _job(stages.BASE_MODEL, workspace, program, settings, directories, training.processes)
        return launcher.run(context, job)

    def snapshots() -> dict[str, str]:
        from lifecycle.corpora.snapshot import snapshot

        assert start is not None
        return {stages.START: snapshot(start).digest}

    return runner.materialize(context, stages.BASE_MODEL, inputs, build, snapshots=snapshots if start else None)


@stage_asset(stages.SFT_MODEL, INSTRUCTIONS, {"pytorch", "deepspeed"}, accelerator=True)
def sft_model(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    base_model: Artifact,
    sft_memmap: Artifact,
) -> dg.MaterializeResult:
    """The base model fine-tuned on conversations; only the tokens of the answers carry loss."""
    training = runner.recipe.sft.training
    settings = {"kind": "sft", "architecture": None, "training": training.model_dump()}
    inputs = {"base_model": base_model, "sft_memmap": sft_memmap}
    directories = {"memmap": str(sft_memmap.path), "model": str(base_model.path)}

    def build(workspace: Workspace) -> dict:
        program = "lifecycle.training.causal"
        return launcher.run(context, _job(stages.SFT_MODEL, workspace, program, settings, directories, training.processes))

    return runner.materialize(context, stages.SFT_MODEL, inputs, build)


@stage_asset(
    stages.DPO_MODEL,
    PREFERENCES,
    {"pytorch", "huggingface"},
    accelerator=True,
    checks=[
        dg.AssetCheckSpec(
            ENOUGH_PAIRS,
            asset="dpo_model",
            description=f"At least {FEW_PAIRS} preference pairs were trained on. Fewer are a warning, not an error.",
        )
    ],
)
def dpo_model(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    sft_model: Artifact,
    preference_pairs: Artifact,
) -> dg.MaterializeResult:
    """The SFT model aligned with direct preference optimization (Rafailov et al. 2023) by TRL's trainer."""
    config = runner.recipe.dpo
    inputs = {"sft_model": sft_model, "preference_pairs": preference_pairs}
    directories = {"model": str(sft_model.path), "pairs": str(preference_pairs.path)}

    def build(workspace: Workspace) -> dict:
        program = "lifecycle.training.preference"
        settings = {"dpo": config.model_dump()}
        return launcher.run(context, _job(stages.DPO_MODEL, workspace, program, settings, directories, config.processes))

    def enough(published: Published) -> list[dg.AssetCheckResult]:
        pairs = int(published.manifest.facts["rows"])
        few = pairs < FEW_PAIRS
        severity, said = dg.AssetCheckSeverity.WARN, {"pairs": pairs} | ({"warning": few_pairs(pairs)} if few else {})
        return [dg.AssetCheckResult(passed=not few, check_name=ENOUGH_PAIRS, severity=severity, metadata=said)]

    return runner.materialize(context, stages.DPO_MODEL, inputs, build, checks=enough)


def _job(
    stage: Stage, workspace: Workspace, program: str, config: dict[str, Any], inputs: dict[str, str], processes: int
) -> TrainingJob:
    return TrainingJob(
        stage=stage.name,
        fingerprint=workspace.run_dir.name,
        program=program,
        config=config,
        inputs=inputs,
        output=str(workspace.out),
        run_dir=str(workspace.run_dir),
        processes=processes,
    )
