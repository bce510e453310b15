"""The causal program: pretraining, continued pretraining and SFT. Run it through `lifecycle.training.launch`.

The objective is cross-entropy with a weight per token; what is trained is a matter of the memmap's loss mask alone.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import PreTrainedModel

from lifecycle.jobs import TrainingJob
from lifecycle.plots import over_steps, plot
from lifecycle.recipe.training import CausalTraining
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.adapters import export_adapted
from lifecycle.training.attention import reads_lengths
from lifecycle.training.checkpoints import Checkpoints, Progress
from lifecycle.training.config import CausalJobConfig, checkpoint_identity, read_config
from lifecycle.training.data import TrainingData, open_data
from lifecycle.training.distributed import hosts, rank, start, world
from lifecycle.training.engine import chosen_attention, start_engine
from lifecycle.training.estimate import Estimate, estimate
from lifecycle.training.export import export
from lifecycle.training.failures import RESULT
from lifecycle.training.feed import Feed
from lifecycle.training.heartbeat import Heartbeat
from lifecycle.training.journal import Journal, read_metrics
from lifecycle.training.kernels import is_compiled, uses_liger
from lifecycle.training.loop import train
from lifecycle.training.meter import Meter
from lifecycle.training.ownership import check_owner
from lifecycle.training.preflight import check_batch, check_disk, first_mask
from lifecycle.training.run import Run
from lifecycle.training.saving import choose, resume, shared_token
from lifecycle.training.skipping import SkippedBatches
from lifecycle.training.start import begin
from lifecycle.training.stop import StopRequest
from lifecycle.training.task_plots import draw_tasks
from lifecycle.training.throughput import FORMULA, flops_per_token, peak_flops, shape_of
from lifecycle.training.validation import TaskSet, ValidationSet, open_tasks, open_validation

LOSSES_AVERAGED = 20


def main(job: TrainingJob) -> None:
    """Train as the job says, export the model into `job.output`, and write the facts to `<run_dir>/result.json`."""
    config = read_config(job)
    memmap = TokenMemmap(Path(job.inputs["memmap"]))
    device = start()
    stop = StopRequest().listen()
    begun = begin(job, config, memmap)
    opened = open_data(job, config, memmap, begun.tokenizer)
    data = opened.sequences
    held_out = open_validation(job, config, begun.tokenizer)
    model = begun.model
    shape = shape_of(model)
    parameters = shape.parameters
    check_disk(job, config.training, shape)
    tasks = open_tasks(job, config, begun.tokenizer, opened.balance.followed)
    first = opened.order.global_step(0)[:1]
    trial = data.batch(first).to(device)
    first_loss = check_batch(model, trial, config.training.precision, lambda: data.documents(first))
    run = _run(job, config, opened, held_out, tasks, model, device)
    _announce(run, parameters, opened.outline)
    if run.journal:
        _announce_needs(run.journal, estimate(shape, config.training, tokens=memmap.describe.tokens), first_loss)
        if mask := first_mask(memmap, begun.tokenizer):
            run.journal.message(f"loss mask of the first document, bold is trained: {mask}")
    progress = train(run, resume(run), stop)
    choose(run, progress)
    facts: dict[str, Any] = {}
    if begun.adapted:
        facts = export_adapted(run.engine, begun.adapted, data, begun.tokenizer, Path(job.output))
    else:
        export(run.engine, data, begun.tokenizer, Path(job.output))
    if run.journal:
        check_owner()
        _finish(Path(job.run_dir), run, progress, parameters, facts)
    distributed.destroy_process_group()


def _run(
    job: TrainingJob,
    config: CausalJobConfig,
    data: TrainingData,
    held_out: ValidationSet | None,
    tasks: TaskSet | None,
    model: PreTrainedModel,
    device: torch.device,
) -> Run:
    training, run_dir = config.training, Path(job.run_dir)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    flops = flops_per_token(shape_of(model), training.sequence_length)
    return Run(
        training=training,
        engine=start_engine(model, training, device),
        data=data.sequences,
        order=data.order,
        device=device,
        checkpoints=Checkpoints(run_dir, training.keep_checkpoints, shared_token()),
        identity=checkpoint_identity(job, config),
        journal=Journal(run_dir) if rank() == 0 else None,
        meter=Meter(world(), flops, peak_flops(name)),
        heartbeat=Heartbeat(run_dir, rank(), training.guards.stall_seconds),
        skipped=SkippedBatches(run_dir),
        feed=Feed(device, reads_lengths(chosen_attention(training, device).implementation)),
        validation=held_out,
        balance=data.balance,
        tasks=tasks,
        host_group=hosts(device),
        reading_delay=1 if device.type == "cuda" else 0,
    )


def _announce(run: Run, parameters: int, outline: Sequence[tuple[str, str]]) -> None:
    if run.journal:
        training, data = run.training, run.data
        tokens = training.steps * training.global_batch * training.sequence_length
        run.journal.message(
            f"{parameters:,} parameters on {world()} x {run.device.type}, ZeRO-{training.zero_stage}, {training.precision}"
            f"{_speedups(training, run.device.type)}; {training.steps} steps of {training.global_batch} x "
            f"{training.sequence_length} = {tokens:,} places; {data.sequences:,} packed sequences, "
            f"{data.tokens_left_out} tokens left out; {chosen_attention(training, run.device)}"
        )
        for name, words in outline:
            run.journal.message(f"{name}: {words}")


def _speedups(training: CausalTraining, device_type: str) -> str:
    every = training.checkpoint_activations
    said = {
        ", compiled": is_compiled(training, device_type),
        ", Liger": uses_liger(training, device_type),
        f", one block in {every} computed again in the backward pass": bool(every),
    }
    return "".join(text for text, holds in said.items() if holds)


def _announce_needs(journal: Journal, needs: Estimate, first_loss: float | None) -> None:
    parts = ", ".join(f"{name} {value / 1e9:.3f} GB" for name, value in asdict(needs.memory).items())
    tried = "no label in the first sequence" if first_loss is None else f"loss {first_loss:.3f} in a trial pass"
    journal.message(f"per device {parts}; checkpoints {needs.checkpoints / 1e9:.3f} GB on disk; {tried}. {FORMULA}")


def _finish(run_dir: Path, run: Run, progress: Progress, parameters: int, more: dict[str, Any]) -> None:
    metrics = read_metrics(run_dir)
    losses = [entry["loss"] for entry in metrics][-LOSSES_AVERAGED:]
    facts: dict[str, Any] = {
        "loss": sum(losses) / len(losses),
        "tokens": progress.tokens,
        "parameters": parameters,
        "steps": progress.step,
        "seconds_training": round(progress.seconds, 2),
        "tokens_per_second": round(progress.tokens / progress.seconds, 1),
        "processes": world(),
        "device": run.device.type,
        "packed_sequences": run.data.sequences,
        "packing_efficiency": round(run.data.efficiency, 4),
        "tokens_left_out": run.data.tokens_left_out,
    } | more
    if progress.best_step is not None:
        facts |= {"best_step": progress.best_step, "validation_bits_per_byte": progress.best_bits_per_byte}
    if run.skipped.places:
        facts["skipped_batches"] = len(run.skipped.places)
    _draw(run_dir, metrics)
    draw_tasks(run_dir, metrics)
    temporary = run_dir / f"{RESULT}.tmp"
    temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    os.replace(temporary, run_dir / RESULT)


def _draw(run_dir: Path, metrics: list[dict[str, Any]]) -> None:
    steps = [entry["step"] for entry in metrics]
    with plot(run_dir, "loss", "Training loss") as axes:
        axes.plot(steps, [entry["loss"] for entry in metrics], linewidth=1)
        over_steps(axes)
        axes.set_ylabel("nats per token")
    validated = [entry for entry in metrics if "validation_bits_per_byte" in entry]
    if validated:
        with plot(run_dir, "validation", "Held-out text") as axes:
            axes.plot([e["step"] for e in validated], [e["validation_bits_per_byte"] for e in validated], marker=".")
            over_steps(axes)
            axes.set_ylabel("bits per byte")
    shares = ("valid_token_share", "data_wait_share", "mfu")
    with plot(run_dir, "utilization", "Shares: labels with weight, time waiting for data, MFU") as axes:
        for name in shares:
            known = [(entry["step"], entry[name]) for entry in metrics if name in entry]
            if known:
                axes.plot(*zip(*known, strict=True), linewidth=1, label=name.replace("_", " "))
        over_steps(axes)
        axes.set_ylim(0, 1)
        axes.legend(frameon=False)
    timed = [entry for entry in metrics if "tokens_per_second" in entry]
    for name, title, figures, unit in (
        ("throughput", "Throughput", ("tokens_per_second", "tokens_per_second_per_device"), "tokens per second"),
        ("tflops", f"Useful work. {FORMULA}", ("tflops_per_device",), "TFLOPS per device"),
    ):
        with plot(run_dir, name, title) as axes:
            for figure in figures:
                axes.plot(
                    [e["step"] for e in timed], [e[figure] for e in timed], linewidth=1, label=figure.replace("_", " ")
                )
            over_steps(axes)
            axes.set_ylabel(unit)
            axes.set_ylim(bottom=0)
            axes.legend(frameon=False)


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
