"""The launcher: exit classes, no orphans, grace, and what Dagster sees."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from torch import AcceleratorError

from lifecycle.endpoint.variables import KEY
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass, classify
from lifecycle.training.failures import Failure
from tests.patience import PATIENCE

DAGSTER_SCRIPT = """
import sys
import dagster as dg
from lifecycle.jobs import TrainingJob
from resources.launchers.local import LocalLauncher

@dg.asset
def trained(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
    return dg.MaterializeResult(value=launcher.run(context, TrainingJob.read(sys.argv[1])))

result = dg.materialize([trained], resources={"launcher": LocalLauncher()}, raise_on_error=False)
if result.success:
    print("VALUE", result.output_for_node("trained"))
for event in result.all_events:
    if event.is_step_failure:
        error = event.step_failure_data.error
        print("FAILED", (error.cause or error).cls_name, (error.cause or error).message)
"""


def job_for(home: Path, act: str, processes: int = 2) -> TrainingJob:
    (home / "run").mkdir(parents=True, exist_ok=True)
    return TrainingJob(
        stage="test",
        fingerprint="f",
        program="tests.training.programs",
        config={"act": act},
        inputs={},
        output=str(home / "out"),
        run_dir=str(home / "run"),
        processes=processes,
    )


def launch(job: TrainingJob) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lifecycle.training.launch", str(job.write())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(paths: list[Path]) -> None:
    until = time.monotonic() + PATIENCE
    while not all(path.exists() and (path.stat().st_size or "ready" in path.name) for path in paths):
        assert time.monotonic() < until, f"{paths} did not appear"
        time.sleep(0.02)


def wait_gone(pids: list[int]) -> None:
    until = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < until, f"some of {pids} still run"
        time.sleep(0.05)


def pids(job: TrainingJob) -> list[int]:
    return [int((Path(job.run_dir) / f"pid_{rank}").read_text()) for rank in range(job.processes)]


def test_a_rank_that_never_comes_ends_the_run_soon(tmp_path: Path) -> None:
    """One rank that tokenized its own copy of the data once let the others time out after half an hour, in NCCL's words."""
    job = job_for(tmp_path, "miss_the_meeting")
    process = launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.NETWORK.code, output
    assert json.loads((tmp_path / "run" / "failure.json").read_text())["rank"] == 0
    wait_gone(pids(job))


def test_success_shows_the_journal_and_leaves_no_failure(tmp_path: Path) -> None:
    job = job_for(tmp_path, "succeed")
    (tmp_path / "run" / "failure.json").write_text("from an earlier attempt")
    process = launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert "half way" in output
    assert "loss 1.5000" in output
    assert not (tmp_path / "run" / "failure.json").exists()


def test_what_aborts_while_the_interpreter_is_taken_down_fails_no_run(tmp_path: Path) -> None:
    """A DPO of two ranks had written its model, then "terminate called without an active exception" made it a failure."""
    process = launch(job_for(tmp_path, "abort_when_taken_down"))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert all((tmp_path / "run" / f"exit_functions_{rank}").exists() for rank in range(2))


def test_the_cause_is_the_rank_that_failed_not_the_one_that_lost_it(tmp_path: Path) -> None:
    """torchrun reports whichever worker it polls first, which is often the innocent one."""
    process = launch(job_for(tmp_path, "lose_a_peer"))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.DATA.code
    failure = Failure.read(tmp_path / "run")
    assert failure is not None
    assert (failure.exit_class, failure.rank, failure.retryable) == ("data", 1, False)
    assert "documents 7, 8" in failure.message
    assert any("DataError" in line for line in failure.last_lines)
    assert "documents 7, 8" in output


def test_a_killed_rank_ends_the_others_at_once(tmp_path: Path) -> None:
    """The others wait in a collective for minutes otherwise, holding their GPUs."""
    job = job_for(tmp_path, "hang_beside_a_kill")
    process = launch(job)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.PREEMPTION.code
    assert json.loads((tmp_path / "run" / "failure.json").read_text())["rank"] == 1
    wait_gone(pids(job))


def test_the_rank_that_stands_still_is_named_and_says_where(tmp_path: Path) -> None:
    """All ranks wait in the same collective for the one that hangs, and each looks as guilty as the others."""
    job = job_for(tmp_path, "stand_still")
    output, _ = launch(job).communicate(timeout=PATIENCE)
    failure = Failure.read(tmp_path / "run")
    assert failure is not None, output
    assert (failure.exit_class, failure.rank, failure.retryable) == ("node_fault", 1, True)
    assert "stood still in step 7 (data) for more than 1 s" in failure.message
    assert any("in stand_still" in line for line in failure.last_lines), failure.last_lines
    wait_gone(pids(job))


@pytest.mark.parametrize("allowed", [True, False])
def test_out_of_memory_halves_the_micro_batch_where_the_recipe_allows_it(tmp_path: Path, allowed: bool) -> None:
    job = job_for(tmp_path, "need_too_much_memory", processes=1)
    training = {"micro_batch": 2, "guards": {"halve_micro_batch": allowed}}
    process = launch(job.model_copy(update={"config": {**job.config, "training": training}}))
    output, _ = process.communicate(timeout=PATIENCE)
    if allowed:
        assert "out of memory with micro_batch 2; starting again with 1" in output
        assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"micro_batch": 1}
    assert process.returncode == (0 if allowed else ExitClass.OUT_OF_MEMORY.code)


def test_a_device_assert_is_replayed_once_with_synchronous_launches(tmp_path: Path) -> None:
    """Kernels run behind the host: the first traceback ends at whatever call the host had come to meanwhile."""
    process = launch(job_for(tmp_path, "fail_an_assertion"))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.DEVICE_ASSERT.code
    assert [(tmp_path / "run" / f"launches_{rank}").read_text() for rank in range(2)] == ["01", "01"]
    assert output.count("a kernel failed an assertion on rank 1; starting again") == 1
    failure = Failure.read(tmp_path / "run")
    assert failure is not None
    assert (failure.exit_class, failure.rank, failure.retryable) == ("device_assert", 1, False)
    last = "\n".join(failure.last_lines)
    assert "in look_up_a_row_that_is_not_there" in last


def test_a_run_that_asks_for_it_is_started_again(tmp_path: Path) -> None:
    process = launch(job_for(tmp_path, "ask_to_start_again", processes=1))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "starting again from the last checkpoint: StartAgain: step 3: the loss" in output


def test_a_program_that_says_nothing_has_not_succeeded(tmp_path: Path) -> None:
    process = launch(job_for(tmp_path, "end_silently"))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.UNKNOWN.code


def test_ranks_die_with_a_killed_launcher_and_the_lock_is_free(tmp_path: Path) -> None:
    """A SIGKILLed supervisor must not leave a training behind that the next attempt then runs beside."""
    job = job_for(tmp_path, "wait_for_stop")
    process = launch(job)
    wait_for([tmp_path / "run" / f"ready_{rank}" for rank in range(2)])
    process.kill()
    process.communicate()
    wait_gone(pids(job))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_reaches_every_rank_and_waits_for_it(tmp_path: Path, number: signal.Signals) -> None:
    process = launch(job_for(tmp_path, "wait_for_stop"))
    wait_for([tmp_path / "run" / f"ready_{rank}" for rank in range(2)])
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.PREEMPTION.code
    assert all((tmp_path / "run" / f"saved_{rank}").exists() for rank in range(2))


def dagster_run(job: TrainingJob, home: Path) -> subprocess.Popen[str]:
    (home / "home").mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", DAGSTER_SCRIPT, str(job.write())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "DAGSTER_HOME": str(home / "home"), "OMP_NUM_THREADS": "1"},
    )


def test_dagster_sees_progress_and_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No program asks the chat endpoint: its key stays with the assets that do."""
    monkeypatch.setenv(KEY, "s3cret")
    output, _ = dagster_run(job_for(tmp_path, "succeed"), tmp_path).communicate(timeout=PATIENCE)
    assert "VALUE {'threads': '1', 'key': None}" in output
    assert "half way" in output
    assert "loss 1.5000" in output


def test_dagster_sees_class_rank_and_advice_of_a_failure(tmp_path: Path) -> None:
    output, _ = dagster_run(job_for(tmp_path, "lose_a_peer"), tmp_path).communicate(timeout=PATIENCE)
    assert "FAILED JobFailedError" in output
    assert "rank 1 failed, data" in output
    assert ExitClass.DATA.advice in output
    assert "last lines of its log" not in output, "the error has them; the log would show them a second time"


def test_cancelling_in_dagster_saves_and_leaves_nothing_running(tmp_path: Path) -> None:
    job = job_for(tmp_path, "wait_for_stop")
    process = dagster_run(job, tmp_path)
    wait_for([tmp_path / "run" / f"ready_{rank}" for rank in range(2)])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert all((tmp_path / "run" / f"saved_{rank}").exists() for rank in range(2))
    wait_gone(pids(job))


LAUNCH_ON_A_TAKEN_PORT = """
import socket
from lifecycle.training import launch

taken = socket.socket()
taken.bind(("127.0.0.1", 0))
taken.listen()
ports, choose = [taken.getsockname()[1]], launch._free_port
launch._free_port = lambda: ports.pop() if ports else choose()
launch.main()
"""


def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Between choosing a port and rank 0 opening it there is time for another program of the machine."""
    job = job_for(tmp_path, "meet", processes=1)
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH_ON_A_TAKEN_PORT, str(job.write())], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "once more with another one" in done.stdout
    assert Failure.read(tmp_path / "run") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), ExitClass.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), ExitClass.NODE_FAULT),
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), ExitClass.NODE_FAULT),
        (RuntimeError("NCCL communicator was aborted"), ExitClass.NETWORK),
        (MemoryError(), ExitClass.OUT_OF_MEMORY),
        (OSError(28, "No space left on device"), ExitClass.CONFIGURATION),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ExitClass.UNKNOWN),
    ],
)
def test_classes_of_common_errors(error: BaseException, expected: ExitClass) -> None:
    assert classify(error) is expected
