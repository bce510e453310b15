"""Two launchers in one run directory: the file system has given up the first one's lock, and its ranks still run."""

import json
import time
from pathlib import Path

import pytest

from lifecycle.training.checkpoints import Checkpoints, Layout, Progress, read_manifest
from lifecycle.training.exits import ExitClass, Preempted
from lifecycle.training.ownership import Owner, check_owner, take
from tests.patience import PATIENCE
from tests.training.test_launch import job_for, launch, wait_for

LAYOUT = Layout(processes=1, zero_stage=0)


def write(checkpoints: Checkpoints, step: int, content: bytes) -> None:
    """What the engine leaves before the checkpoint is published."""
    checkpoints.prepare(step)
    (checkpoints.temporary(step) / "weights").write_bytes(content)


def be(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as a rank of this launcher."""
    monkeypatch.setenv("LIFECYCLE_OWNER", f"{owner.token} {owner.path}")


def test_without_a_launcher_anybody_may_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFECYCLE_OWNER", raising=False)
    check_owner()


@pytest.mark.parametrize("moment", ["before it writes", "while it writes"])
def test_a_superseded_rank_can_neither_publish_nor_damage_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Both would write the same step: one folder with files of both, hashed as it is, would pass for a whole checkpoint."""
    first = take(tmp_path)
    be(first, monkeypatch)
    old = Checkpoints(tmp_path, 2, first.token)
    if moment == "while it writes":
        write(old, 4, b"old")
    second = take(tmp_path)
    be(second, monkeypatch)
    new = Checkpoints(tmp_path, 2, second.token)
    write(new, 4, b"new")
    be(first, monkeypatch)
    if moment == "before it writes":
        with pytest.raises(Preempted):
            old.prepare(4)
    else:
        old.temporary(4).mkdir()  # the newcomer has removed it; a rank that held the path open may bring it back
        (old.temporary(4) / "weights").write_bytes(b"late")
        with pytest.raises(Preempted):
            old.commit(Progress(step=4), {}, LAYOUT)
    assert old.steps() == []
    be(second, monkeypatch)
    new.commit(Progress(step=4), {}, LAYOUT)
    assert set(read_manifest(new.path("step_4")).files) == {"weights"}
    assert (new.path("step_4") / "weights").read_bytes() == b"new"


def test_a_launcher_that_comes_back_publishes_nothing_and_says_nothing_of_the_run(tmp_path: Path) -> None:
    """A pod on a node that nobody could reach ends after the one that replaced it: the output must stay the newer one's."""
    job = job_for(tmp_path, "write_when_told", processes=1)
    run_dir = Path(job.run_dir)
    old = launch(job)
    wait_for([run_dir / "pid_0"])
    first = int((run_dir / "pid_0").read_text())
    (run_dir / ".launch.lock").unlink()  # as when its lease has run out: the next one's lock is a new file
    new = launch(job)
    second = wait_for_another(run_dir / "pid_0", first)
    (run_dir / f"go_{second}").touch()
    output, _ = new.communicate(timeout=PATIENCE)
    assert new.returncode == 0, output
    handed_over = [path.name for path in Path(job.output).iterdir()]
    (run_dir / f"go_{first}").touch()
    output, _ = old.communicate(timeout=PATIENCE)
    assert old.returncode == ExitClass.PREEMPTION.code, output
    assert [path.name for path in Path(job.output).iterdir()] == handed_over == [f"by_{second}"]
    assert not (run_dir / "failure.json").exists()
    assert not list(run_dir.glob(".output-*"))


def test_a_run_that_fails_leaves_no_output(tmp_path: Path) -> None:
    """Half an output beside a failure was once taken for the whole."""
    job = job_for(tmp_path, "write_and_fail", processes=1)
    launch(job).communicate(timeout=PATIENCE)
    assert json.loads((tmp_path / "run" / "failure.json").read_text())["exit_class"] == "data"
    assert not Path(job.output).exists()
    assert not list((tmp_path / "run").glob(".output-*"))


def wait_for_another(path: Path, known: int) -> int:
    """The number of the process that has written its own over that of `known`."""
    until = time.monotonic() + PATIENCE
    while (text := path.read_text()) in ("", str(known)):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(text)
