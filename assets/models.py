"""The base model and the SFT model, trained by one program, in processes of its own, under DeepSpeed."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.policy import INSTRUCTIONS, PRETRAINING, stage_asset
from assets.recipe import RECIPE
from lifecycle import stages
from lifecycle.artifacts import Artifact, Workspace
from lifecycle.jobs import TrainingJob
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.fine_tuning import FineTuning
from lifecycle.stages import Stage
from resources.launchers.base import Launcher
from resources.stages import StageRunner

SFT_INPUTS = ("model", "memmap", "text")
"""What the causal program calls the inputs of fine-tuning, in their order; the last where pretraining text is mixed in."""


def base_model_asset(trained: bool) -> dg.AssetsDefinition:
    """The asset `base_model`: trained here, or (`training: null`) a given model as it is, which needs no text."""
    if trained:

        @stage_asset(stages.BASE_MODEL, PRETRAINING, {"pytorch", "deepspeed"}, accelerator=True)
        def base_model(
            context: dg.AssetExecutionContext,
            runner: StageRunner,
            launcher: Launcher,
            pretrain_memmap: Artifact,
            tokenizer: Artifact,
        ) -> dg.MaterializeResult:
            """The pretrained model: next-token prediction over the memmap, from random weights or those of a given model."""
            return _train_base(context, runner, launcher, pretrain_memmap, tokenizer)

        return base_model

    @stage_asset(stages.ADOPTED_BASE, PRETRAINING, {"pytorch"})
    def adopted_base(context: dg.AssetExecutionContext, runner: StageRunner, tokenizer: Artifact) -> dg.MaterializeResult:
        """The given model as it is, beside the recipe's tokenizer."""
        start = runner.recipe.base_model.start
        assert start is not None

        def build(workspace: Workspace) -> dict:
            from lifecycle.pretrained import start_directory
            from lifecycle.training.adopt import adopt

            return adopt(start_directory(start), tokenizer.path, workspace.out)

        inputs = {"tokenizer": tokenizer}
        return runner.materialize(context, stages.ADOPTED_BASE, inputs, build, snapshots=_snapshot_of(start))

    return adopted_base


def _train_base(
    context: dg.AssetExecutionContext,
    runner: StageRunner,
    launcher: Launcher,
    pretrain_memmap: Artifact,
    tokenizer: Artifact,
) -> dg.MaterializeResult:
    config = runner.recipe.base_model
    training, start = config.training, config.start
    assert training is not None
    inputs = {"pretrain_memmap": pretrain_memmap, "tokenizer": tokenizer}

    def build(workspace: Workspace) -> dict:
        directories = {"memmap": str(pretrain_memmap.path), "tokenizer": str(tokenizer.path)}
        if start:
            from lifecycle.pretrained import start_directory

            directories["model"] = str(start_directory(start))
        architecture = None if start else config.architecture.model_dump()
        settings = {"kind": "pretrain", "architecture": architecture, "training": training.model_dump()}
        program = "lifecycle.training.causal"
        job = program_job(stages.BASE_MODEL, workspace, program, settings, directories, training.processes)
        return launcher.run(context, job)

    snapshots = _snapshot_of(start) if start else None
    return runner.materialize(context, stages.BASE_MODEL, inputs, build, snapshots=snapshots)


def _snapshot_of(start: StartingModel) -> Callable[[], dict[str, str]]:
    def snapshots() -> dict[str, str]:
        from lifecycle.corpora.snapshot import snapshot

        return {stages.START: snapshot(start).digest}

    return snapshots


base_model = base_model_asset(trained=RECIPE.base_model.training is not None)


def sft_model_asset(stage: Stage, number: int = 1) -> dg.AssetsDefinition:
    """Fine-tuning: of the base model, or in a later round of the model of the round before, the first input of `stage`."""
    mixed = " Each batch also holds pretraining text." if stages.PRETRAIN_MEMMAP.name in stage.inputs else ""
    start = "The base model" if number == 1 else f"{stage.inputs[0]}, the model of the round before,"
    about = f"{start} fine-tuned on conversations; only the tokens of the answers carry loss.{mixed}"

    @stage_asset(stage, INSTRUCTIONS, {"pytorch", "deepspeed"}, accelerator=True, description=about, by_name=True)
    def sft_model(
        context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, **inputs: Artifact
    ) -> dg.MaterializeResult:
        config = runner.recipe.in_round(number).sft
        directories = {name: str(inputs[given].path) for name, given in zip(SFT_INPUTS, stage.inputs, strict=False)}

        def build(workspace: Workspace) -> dict:
            tuning = config.model_dump(include=set(FineTuning.model_fields))
            settings = {"kind": "sft", "training": config.training.model_dump(), "fine_tuning": tuning}
            program, processes = "lifecycle.training.causal", config.training.processes
            return launcher.run(context, program_job(stage, workspace, program, settings, directories, processes))

        return runner.materialize(context, stage, inputs, build)

    return sft_model


sft_model = sft_model_asset(stages.MIXED_SFT_MODEL if RECIPE.sft.pretraining else stages.SFT_MODEL)
sft_models_of_rounds = [sft_model_asset(each.model, each.number) for each in stages.tunings_of(RECIPE)]


def program_job(
    stage: Stage, workspace: Workspace, program: str, config: dict[str, Any], inputs: dict[str, str], processes: int
) -> TrainingJob:
    """The job that runs `program` for this stage."""
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
