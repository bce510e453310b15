"""Ctrl-C in the middle of `lifecycle run`: prompt, quiet, without orphans, and the same command continues."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.graph_home import RECIPE, ROOT, Home, home_without, make_home
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow


def start(home: Home) -> subprocess.Popen[bytes]:
    """`lifecycle run` as the leader of a session, as in a terminal of its own."""
    with (home.path / "output.log").open("ab") as log:
        return subprocess.Popen(
            home.command("run"), cwd=ROOT, env=home.environment, stdout=log, stderr=log, start_new_session=True
        )


def said(home: Home) -> str:
    return (home.path / "output.log").read_text(encoding="utf-8")


def wait_until(happened, process: subprocess.Popen[bytes], home: Home) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, said(home)[-3000:]
        assert time.monotonic() < deadline, said(home)[-3000:]
        time.sleep(0.02)


def press_ctrl_c(process: subprocess.Popen[bytes], times: int = 1) -> list[psutil.Process]:
    """What a terminal does: SIGINT to every process of the foreground group. Returns the processes below."""
    below = psutil.Process(process.pid).children(recursive=True)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    return below


def assert_ended(process: subprocess.Popen[bytes], below: list[psutil.Process]) -> None:
    assert process.wait(timeout=PATIENCE) == 130
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert not alive


@pytest.mark.parametrize("moment", ["before anything", "raw_corpora made"])
def test_ctrl_c_before_and_during_a_stage_in_worker_processes(tmp_path: Path, moment: str) -> None:
    home = make_home(tmp_path)
    process = start(home)
    if moment == "before anything":
        wait_until(lambda: psutil.Process(process.pid).children(), process, home)
    else:
        wait_until(lambda: moment in said(home), process, home)
    assert_ended(process, press_ctrl_c(process))
    assert "the same command continues" in said(home)
    assert "KeyboardInterrupt" not in said(home)
    assert "Error" not in said(home)


def test_ctrl_c_during_training_saves_and_the_same_command_continues(finished: Home, tmp_path: Path) -> None:
    home = home_without(finished, tmp_path / "home", "base_model")
    recipe = home.path / "recipe.yaml"  # of so many steps that it is not over, however late the signal comes
    recipe.write_text(RECIPE.read_text(encoding="utf-8").replace("steps: 24", "steps: 24000"), encoding="utf-8")
    home.environment["LIFECYCLE_RECIPE"] = str(recipe)
    process = start(home)
    journal = home.path / "store" / ".runs"
    wait_until(lambda: any('"metrics"' in path.read_text() for path in journal.glob("*/journal.jsonl")), process, home)
    assert_ended(process, press_ctrl_c(process))
    assert list(journal.glob("*/checkpoints/step_*"))
    assert "Traceback" not in said(home)
    assert "Error" not in said(home)
    process = start(home)
    wait_until(lambda: "continuing after step" in said(home), process, home)
    assert_ended(process, press_ctrl_c(process, times=2))
