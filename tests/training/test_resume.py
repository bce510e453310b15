"""A killed run continues as if nothing had happened; a damaged checkpoint is named and never read."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lifecycle.errors import CorruptArtifactError
from lifecycle.jobs import TrainingJob
from lifecycle.training.checkpoints import Checkpoints, Layout, Progress, read_manifest
from lifecycle.training.exits import ConfigurationError, ExitClass
from lifecycle.training.journal import FILE, follow, read_metrics
from tests.patience import PATIENCE
from tests.training import tiny
from tests.training.held import held

SETTINGS: dict[str, Any] = {"steps": 160, "checkpoint_every": 25, "micro_batch": 1, "keep_checkpoints": 2}

LAYOUT = Layout(processes=1, zero_stage=1)


def run_to_end(job: TrainingJob) -> str:
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def wait_for_step(process: subprocess.Popen[str], run_dir: Path, step: int) -> None:
    offset = (run_dir / FILE).stat().st_size if (run_dir / FILE).exists() else 0
    until = time.monotonic() + PATIENCE
    while True:
        entries, offset = follow(run_dir / FILE, offset)
        if any(entry["kind"] == "metrics" and entry["step"] >= step for entry in entries):
            return
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.005)


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, memmap: Path, tokenizer: Path) -> TrainingJob:
    """A run that nothing disturbs."""
    job = tiny.make_job(tmp_path_factory.mktemp("reference"), {"memmap": memmap, "tokenizer": tokenizer}, **SETTINGS)
    run_to_end(job)
    return job


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, memmap: Path, tokenizer: Path) -> dict[str, Any]:
    """The same run, killed while it writes, killed again, stopped, its newest checkpoint damaged, run to its end."""
    job = tiny.make_job(tmp_path_factory.mktemp("disturbed"), {"memmap": memmap, "tokenizer": tokenizer}, **SETTINGS)
    run_dir = Path(job.run_dir)
    seen: dict[str, Any] = {"job": job}

    dying = tiny.launch(job.model_copy(update={"program": "tests.training.dies_while_writing"}))
    dying.communicate(timeout=PATIENCE)
    seen["died_with"], root = dying.returncode, run_dir / "checkpoints"
    seen["after_death"] = sorted(path.name for path in root.iterdir())
    seen["half"] = [path.stat().st_size for path in root.rglob("*.pt") if ".writing" in str(path)]

    waiting, variables, _ = held(job, 60)
    process = tiny.launch(waiting, **variables)
    wait_for_step(process, run_dir, 60)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    seen["orphans"] = psutil.wait_procs(children, timeout=PATIENCE)[1]
    seen["killed_at"] = read_metrics(run_dir)[-1]["step"]

    waiting, variables, go = held(job, seen["killed_at"] + 15)
    process = tiny.launch(waiting, **variables)
    wait_for_step(process, run_dir, seen["killed_at"] + 15)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    while "asked to stop" not in (line := process.stdout.readline()):
        assert line, "it ended before it was asked to stop"
    go.touch()
    seen["stop_output"], _ = process.communicate(timeout=PATIENCE)
    seen["stop_code"] = process.returncode
    seen["stopped_at"] = read_metrics(run_dir)[-1]["step"]
    seen["checkpoints"] = Checkpoints(run_dir, 2).steps()
    damaged = next((run_dir / "checkpoints" / f"step_{seen['stopped_at']}" / "state").glob("*optim_states.pt"))
    flip_byte(damaged)
    seen["damaged"] = damaged

    seen["output"] = run_to_end(job)
    return seen


def test_the_interruptions_hit_the_middle(disturbed: dict[str, Any]) -> None:
    assert 60 <= disturbed["killed_at"] < disturbed["stopped_at"] < 160
    assert disturbed["killed_at"] % 25 != 0 or disturbed["stopped_at"] % 25 != 0


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before_and_no_half_one(disturbed: dict[str, Any]) -> None:
    """Written in the background, the files of a checkpoint appear one by one while steps go on."""
    assert disturbed["died_with"] == ExitClass.PREEMPTION.code
    half, whole = disturbed["after_death"]
    assert half.startswith(".writing-step_50-")
    assert whole == "step_25"
    assert any(disturbed["half"])


def test_no_rank_survives_a_killed_launcher(disturbed: dict[str, Any]) -> None:
    assert disturbed["orphans"] == []


def test_stop_request_saves_a_checkpoint_and_says_preemption(disturbed: dict[str, Any]) -> None:
    assert disturbed["stop_code"] == ExitClass.PREEMPTION.code
    assert disturbed["checkpoints"][-1] == disturbed["stopped_at"]
    assert f"after step {disturbed['stopped_at']}" in disturbed["stop_output"]


def test_damaged_checkpoint_is_named_and_the_one_before_is_used(disturbed: dict[str, Any]) -> None:
    assert disturbed["damaged"].name in disturbed["output"]
    assert f"continuing after step {disturbed['checkpoints'][-2]} of 160" in disturbed["output"]


def test_losses_equal_those_of_an_undisturbed_run(reference: TrainingJob, disturbed: dict[str, Any]) -> None:
    """Bit for bit: the sample order is arithmetic, and the checkpoint holds the fp32 weights and moments."""
    expected = {entry["step"]: entry["loss"] for entry in read_metrics(Path(reference.run_dir))}
    found = {entry["step"]: entry["loss"] for entry in read_metrics(Path(disturbed["job"].run_dir))}
    assert found == expected
    assert list(expected) == list(range(1, 161))


def test_model_bytes_equal_those_of_an_undisturbed_run(reference: TrainingJob, disturbed: dict[str, Any]) -> None:
    names = sorted(path.name for path in Path(reference.output).iterdir())
    assert names == sorted(path.name for path in Path(disturbed["job"].output).iterdir())
    for name in names:
        assert (Path(reference.output) / name).read_bytes() == (Path(disturbed["job"].output) / name).read_bytes(), name


def test_it_learns_and_says_so(reference: TrainingJob) -> None:
    metrics = read_metrics(Path(reference.run_dir))
    assert metrics[-1]["loss"] < 0.8 * metrics[0]["loss"]
    result = json.loads((Path(reference.run_dir) / "result.json").read_text())
    assert result["loss"] == pytest.approx(np.mean([entry["loss"] for entry in metrics[-20:]]))
    assert result["steps"] == 160
    assert result["tokens"] == metrics[-1]["tokens"] == 160 * 4 * 64
    drawn = {path.name for path in (Path(reference.run_dir) / "plots").iterdir()}
    assert drawn == {"loss.png", "throughput.png", "tflops.png", "utilization.png"}
    assert "mfu" not in metrics[-1], "the peak of a CPU is not known and must not be guessed"


def test_exported_folder_is_a_whole_model(reference: TrainingJob) -> None:
    model = AutoModelForCausalLM.from_pretrained(reference.output, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(reference.output, local_files_only=True)
    assert model.dtype == torch.bfloat16
    assert model.generation_config.eos_token_id == [0, 2]
    assert model.generation_config.pad_token_id == 0
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.chat_template == tiny.TEMPLATE
    run = (torch.arange(12) + 40).unsqueeze(0)
    assert model(run).logits[0, -1].argmax() == 52, "the documents count upwards, so should the model"


def test_only_so_many_checkpoints_are_kept(reference: TrainingJob) -> None:
    assert Checkpoints(Path(reference.run_dir), 2).steps() == [150, 160]


def test_checkpoint_of_another_job_is_refused_with_the_difference(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.prepare(5)
    (checkpoints.temporary(5) / "weights").write_bytes(b"1234")
    checkpoints.commit(Progress(step=5), {"fingerprint": "a", "seed": 2}, LAYOUT)
    with pytest.raises(ConfigurationError, match="seed is 2 there and 1 in this job"):
        checkpoints.newest({"fingerprint": "a", "seed": 1})


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "add", "manifest"])
def test_no_damaged_checkpoint_is_accepted(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.prepare(5)
    (checkpoints.temporary(5) / "weights").write_bytes(b"1234")
    checkpoints.commit(Progress(step=5), {}, LAYOUT)
    directory = checkpoints.path("step_5")
    if damage == "flip":
        flip_byte(directory / "weights")
    elif damage == "cut":
        (directory / "weights").write_bytes(b"123")
    elif damage == "remove":
        (directory / "weights").unlink()
    elif damage == "add":
        (directory / "more").write_bytes(b"")
    else:
        (directory / "manifest.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match="manifest.json" if damage == "manifest" else "weights|more"):
        read_manifest(directory)
    name, manifest, said = checkpoints.newest({})
    assert name is None
    assert manifest is None
    assert len(said) == 1
    assert checkpoints.steps() == []


def test_a_checkpoint_half_written_does_not_exist(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.prepare(5)
    (checkpoints.temporary(5) / "weights").write_bytes(b"12")
    assert checkpoints.newest({}) == (None, None, [])
    checkpoints.prepare(7)
    assert not checkpoints.temporary(5).exists()
