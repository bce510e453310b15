"""Small programs that stand where a training program stands, to see what the launcher makes of their ends."""

import atexit
import json
import os
import signal
import sys
import time
from pathlib import Path

from lifecycle.endpoint.variables import KEY
from lifecycle.errors import DataError
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import Preempted, StartAgain
from lifecycle.training.heartbeat import FOLDER, Heartbeat
from lifecycle.training.journal import Journal
from lifecycle.training.rank import ERRORS


def main(job: TrainingJob) -> None:
    """Do what `config.act` says."""
    rank = int(os.environ["RANK"])
    (Path(job.run_dir) / f"pid_{rank}").write_text(str(os.getpid()))
    ACTS[job.config["act"]](job, rank)


def _wait_for(path: Path) -> None:
    """However busy the machine is, what this rank waits for comes first."""
    while not path.exists():
        time.sleep(0.02)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def succeed(job: TrainingJob, rank: int) -> None:
    if rank == 0:
        journal = Journal(Path(job.run_dir))
        journal.message("half way")
        journal.metrics(2, loss=1.5)
        facts = {"threads": os.environ["OMP_NUM_THREADS"], "key": os.environ.get(KEY)}
        (Path(job.run_dir) / "result.json").write_text(json.dumps(facts))


class _Aborting:
    """Ends its process where the interpreter, which is taken down, lets go of it."""

    def __del__(self) -> None:
        os.abort()


def abort_when_taken_down(job: TrainingJob, rank: int) -> None:
    """Once all is written, as a rank of two once was."""
    atexit.register((Path(job.run_dir) / f"exit_functions_{rank}").touch)
    sys.modules["held until the end"] = _Aborting()  # pyright: ignore[reportArgumentType]
    if rank == 0:
        (Path(job.run_dir) / "result.json").write_text("{}")


def lose_a_peer(job: TrainingJob, rank: int) -> None:
    """Rank 1 has bad data; rank 0 only notices that rank 1 is gone, and reports it sooner than rank 1 does."""
    if rank == 0:
        _wait_for(Path(job.run_dir) / "pid_1")
        raise RuntimeError("[gloo] Connection closed by peer")
    _wait_for(Path(job.run_dir) / ERRORS / "rank_0.json")
    raise DataError("documents 7, 8 are empty")


def hang_beside_a_kill(job: TrainingJob, rank: int) -> None:
    if rank == 1:
        _wait_for(Path(job.run_dir) / "pid_0")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)


def end_silently(job: TrainingJob, rank: int) -> None:
    pass


def wait_for_stop(job: TrainingJob, rank: int) -> None:
    """Save something when asked to stop, as a training saves its checkpoint."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    (Path(job.run_dir) / f"ready_{rank}").touch()
    while not asked:
        time.sleep(0.02)
    time.sleep(0.3)
    (Path(job.run_dir) / f"saved_{rank}").touch()
    raise Preempted("saved")


def write_when_told(job: TrainingJob, rank: int) -> None:
    """Leave one file named after this process, once that may go on."""
    go = Path(job.run_dir) / f"go_{os.getpid()}"
    while not go.exists():
        time.sleep(0.02)
    (Path(job.output) / f"by_{os.getpid()}").touch()
    (Path(job.run_dir) / "result.json").write_text("{}")


def write_and_fail(job: TrainingJob, rank: int) -> None:
    (Path(job.output) / "half").touch()
    raise DataError("documents 7, 8 are empty")


def stand_still(job: TrainingJob, rank: int) -> None:
    """Rank 1 hangs while it reads the data of step 7; rank 0 waits for it."""
    heartbeat = Heartbeat(Path(job.run_dir), rank, limit=1.0)
    heartbeat.rest()
    if rank == 0:
        _wait_for(Path(job.run_dir) / FOLDER / "rank_1")
    heartbeat.beat(7, "data")
    if rank == 0:
        heartbeat.beat(7, "compute")
    time.sleep(3600)


def need_too_much_memory(job: TrainingJob, rank: int) -> None:
    """What two sequences need is not there, what one needs is."""
    size = job.config["training"]["micro_batch"]
    bytearray(2**62 if size > 1 else 1)
    (Path(job.run_dir) / "result.json").write_text(json.dumps({"micro_batch": size}))


DEVICE_ASSERT = (
    "CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert' in "
    "https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect."
)
"""What torch says of one, word for word."""


def fail_an_assertion(job: TrainingJob, rank: int) -> None:
    """Rank 1 meets the error where the host happens to be; with synchronous launches, at the call that caused it."""
    launches = os.environ.get("CUDA_LAUNCH_BLOCKING", "0")
    with (Path(job.run_dir) / f"launches_{rank}").open("a") as file:
        file.write(launches)
        attempt = file.tell()
    while _size(Path(job.run_dir) / f"launches_{1 - rank}") < attempt:
        time.sleep(0.02)
    if rank == 0:
        _wait_for(Path(job.run_dir) / ERRORS / "rank_1.json")
        raise RuntimeError("NCCL communicator was aborted")
    look_up_a_row_that_is_not_there() if launches == "1" else some_later_call()


def some_later_call() -> None:
    from torch import AcceleratorError

    raise AcceleratorError(DEVICE_ASSERT)


def look_up_a_row_that_is_not_there() -> None:
    some_later_call()


def ask_to_start_again(job: TrainingJob, rank: int) -> None:
    noted = Path(job.run_dir) / "noted"
    if not noted.exists():
        noted.touch()
        raise StartAgain("step 3: the loss")
    (Path(job.run_dir) / "result.json").write_text("{}")


def meet(job: TrainingJob, rank: int) -> None:
    """What every training does first."""
    from torch import distributed

    distributed.init_process_group("gloo")
    distributed.barrier()
    distributed.destroy_process_group()
    if rank == 0:
        (Path(job.run_dir) / "result.json").write_text("{}")


def miss_the_meeting(job: TrainingJob, rank: int) -> None:
    """Rank 1 is kept by something else; rank 0 waits for it no longer than it must."""
    from datetime import timedelta

    if rank == 1:
        time.sleep(3600)
    from lifecycle.training import distributed

    distributed.MEETING_TIMEOUT = timedelta(seconds=2)
    distributed.start()


ACTS = {
    act.__name__: act
    for act in (
        abort_when_taken_down,
        ask_to_start_again,
        end_silently,
        fail_an_assertion,
        hang_beside_a_kill,
        lose_a_peer,
        meet,
        miss_the_meeting,
        need_too_much_memory,
        stand_still,
        succeed,
        wait_for_stop,
        write_and_fail,
        write_when_told,
    )
}
