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

SFT_INPUTS = {"base_model": "model", "sft_memmap": "memmap", "pretrain_memmap": "text"}
"""Names that the causal program has for the artifacts that fine-tuning is made from."""


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


def sft_model_asset(mixed: bool) -> dg.AssetsDefinition:
    """The asset `sft_model`; where batches are `mixed`, the pretraining text is one more thing that it is made from."""
    about = "The base model fine-tuned on conversations; only the tokens of the answers carry loss."
    kinds = {"pytorch", "deepspeed"}
    if not mixed:

        @stage_asset(stages.SFT_MODEL, INSTRUCTIONS, kinds, accelerator=True, description=about)
        def sft_model(
            context: dg.AssetExecutionContext,
            runner: StageRunner,
            launcher: Launcher,
            base_model: Artifact,
            sft_memmap: Artifact,
        ) -> dg.MaterializeResult:
            return _fine_tune(context, runner, launcher, {"base_model": base_model, "sft_memmap": sft_memmap})

        return sft_model

    @stage_asset(
        stages.MIXED_SFT_MODEL,
        INSTRUCTIONS,
        kinds,
        accelerator=True,
        description=f"{about} Each batch also holds pretraining text.",
    )
    def mixed_sft_model(
        context: dg.AssetExecutionContext,
        runner: StageRunner,
        launcher: Launcher,
        base_model: Artifact,
        sft_memmap: Artifact,
        pretrain_memmap: Artifact,
    ) -> dg.MaterializeResult:
        inputs = {"base_model": base_model, "sft_memmap": sft_memmap, "pretrain_memmap": pretrain_memmap}
        return _fine_tune(context, runner, launcher, inputs)

    return mixed_sft_model


def _fine_tune(
    context: dg.AssetExecutionContext, runner: StageRunner, launcher: Launcher, inputs: dict[str, Artifact]
) -> dg.MaterializeResult:
    config = runner.recipe.sft
    directories = {SFT_INPUTS[name]: str(artifact.path) for name, artifact in inputs.items()}

    def build(workspace: Workspace) -> dict:
        tuning = config.model_dump(include=set(FineTuning.model_fields))
        settings = {"kind": "sft", "training": config.training.model_dump(), "fine_tuning": tuning}
        program, processes = "lifecycle.training.causal", config.training.processes
        return launcher.run(context, program_job(stages.SFT_MODEL, workspace, program, settings, directories, processes))

    stage = stages.MIXED_SFT_MODEL if config.pretraining else stages.SFT_MODEL
    return runner.materialize(context, stage, inputs, build)


sft_model = sft_model_asset(mixed=RECIPE.sft.pretraining is not None)


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
