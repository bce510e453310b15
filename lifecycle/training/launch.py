"""Run a job's program in processes of this machine: `python -m lifecycle.training.launch job.json`.

A job of several nodes has one launcher on each (`place.find_place`); node 0 speaks for all. The ranks are started here and
not by torchrun, which hides their exit codes and ignores grace periods. The exit code is the class of the first rank that
failed (`exits.ExitClass`), and `failure.json` says more.
"""

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import FILE, RESULT, Failure, find_failure, memory_kills, stall_failure, superseded
from lifecycle.training.handover import hand_over, private_output
from lifecycle.training.heartbeat import FOLDER, Beat, stalled
from lifecycle.training.mending import Trial, mended
from lifecycle.training.ownership import Owner, take
from lifecycle.training.parent import PARENT, die_with_parent
from lifecycle.training.place import Place, find_place
from lifecycle.training.rank import ERRORS
from lifecycle.training.relay import Relay, open_relay

logger = logging.getLogger(__name__)

GRACE_SECONDS = 60.0
"""From the request to stop until what still runs is killed: a step and a checkpoint must fit."""
PORT_ATTEMPTS = 3
"""Between choosing a free port and rank 0 opening it, another process may take it."""
PEER_SECONDS = 5.0
"""From the first failure until the other ranks are killed: they would wait for the lost one for many minutes."""
POLL_SECONDS = 0.1
TRACEBACK_SECONDS = 1.0
"""For a stalled rank to write where it stands into its log."""


@dataclass
class Ranks:
    """The processes of a run on this machine, by rank."""

    processes: dict[int, subprocess.Popen[bytes]]
    ended: dict[int, float]
    """When each rank that has ended was seen to have ended (seconds since the epoch)."""
    killed: set[int]
    """Ranks that this launcher killed."""

    def poll(self) -> list[int]:
        """The ranks that still run."""
        for number, process in self.processes.items():
            if process.poll() is not None:
                self.ended.setdefault(number, time.time())
        return [number for number in self.processes if number not in self.ended]

    def ask(self) -> None:
        """Ask those that still run to stop: the ranks alone, because one that compiles waits for ever for lost workers."""
        for rank in self.poll():
            self.processes[rank].terminate()

    def kill(self) -> None:
        """End whatever still runs, and wait for it."""
        running = self.poll()
        self.killed.update(running)
        for rank in running:
            with suppress(ProcessLookupError):  # the whole group: a rank may have compile workers of its own
                os.killpg(self.processes[rank].pid, signal.SIGKILL)
        for rank in running:
            self.processes[rank].wait()
        self.poll()


def run_job(job: TrainingJob, place: Place, relay: Relay) -> Failure | None:
    """Run the job to its end; returns None when it succeeded. SIGTERM and SIGINT are passed on to the ranks once."""
    own = place.folder(Path(job.run_dir))
    with _exclusive(own, relay) as owner, private_output(own, owner) as output:
        owner.pass_on()
        relay.watch(own)
        stop_asked: list[float] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop_asked.append(time.monotonic()))
        trial = Trial(job.model_copy(update={"output": str(output)}))
        while True:
            failure = _meet(trial, place, relay, stop_asked)
            # Where there are several nodes all must start again together: that is up to whoever started them.
            change = mended(trial, failure) if failure and not stop_asked and place.nodes == 1 else None
            if change is None:
                break
            trial, text = change
            relay.say(text)
        if not owner.holds:
            return superseded()
        if failure:
            failure.write(own)
        elif place.node == 0:
            hand_over(output, Path(job.output))
        return failure


def _meet(trial: Trial, place: Place, relay: Relay, stop_asked: list[float]) -> Failure | None:
    """One attempt, repeated when the ranks could not meet on a port that this machine chose."""
    if place.port is not None:
        return _attempt(trial, place, relay, stop_asked)
    for port in (_free_port() for _ in range(PORT_ATTEMPTS)):
        failure = _attempt(trial, replace(place, address="127.0.0.1", port=port), relay, stop_asked)
        if failure is None or stop_asked or not failure.port_was_taken:
            break
        relay.say(f"another process took port {port} meanwhile; once more with another one")
    return failure


def _attempt(trial: Trial, place: Place, relay: Relay, stop_asked: list[float]) -> Failure | None:
    """Start the ranks, wait for their end, and say what went wrong."""
    run_dir = Path(trial.job.run_dir)
    _clear(run_dir, place)
    kills_before = memory_kills()
    ranks = _start(trial, run_dir, place)
    try:
        stalled_rank = _supervise(ranks, relay, stop_asked, run_dir)
    finally:
        ranks.kill()
    relay.poll(last=True)
    if stalled_rank:
        return stall_failure(run_dir, stalled_rank)
    codes = {rank: process.returncode for rank, process in ranks.processes.items()}
    return find_failure(run_dir, codes, ranks.ended, ranks.killed, bool(stop_asked), memory_kills() > kills_before)


def _supervise(ranks: Ranks, relay: Relay, stop_asked: list[float], run_dir: Path) -> Beat | None:
    """Return when all ranks have ended, or when those left have had their time, or with the rank that stands still."""
    forwarded = False
    first_failure: float | None = None
    while running := ranks.poll():
        now = time.monotonic()
        if stop_asked and not forwarded:
            relay.say(f"asked to stop; there are up to {GRACE_SECONDS:.0f} s to save what is done")
            ranks.ask()
            forwarded = True
        if first_failure is None and any(ranks.processes[number].returncode for number in ranks.ended):
            first_failure = now
        if first_failure is not None and now - first_failure > PEER_SECONDS:
            return None
        if forwarded and now - stop_asked[0] > GRACE_SECONDS:
            relay.say(f"the ranks {running} did not stop within {GRACE_SECONDS:.0f} s and are killed")
            return None
        if first_failure is None and (beat := stalled(run_dir, time.time())):
            if beat.rank in ranks.processes:
                ranks.processes[beat.rank].send_signal(signal.SIGUSR1)
            time.sleep(TRACEBACK_SECONDS)
            return beat
        relay.poll()
        time.sleep(POLL_SECONDS)
    return None


def _start(trial: Trial, run_dir: Path, place: Place) -> Ranks:
    job = trial.job
    logs = run_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    job_file = job.write(place.folder(run_dir))
    shared = environment(place) | ({"CUDA_LAUNCH_BLOCKING": "1"} if trial.synchronous else {})
    processes: dict[int, subprocess.Popen[bytes]] = {}
    for local, number in enumerate(place.ranks):
        with (logs / f"rank_{number}.log").open("ab") as log:
            processes[number] = subprocess.Popen(
                [sys.executable, "-m", "lifecycle.training.rank", job.program, str(job_file)],
                env={**shared, "RANK": str(number), "LOCAL_RANK": str(local)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    return Ranks(processes, {}, set())


def environment(place: Place) -> dict[str, str]:
    """The environment of every rank; what the caller has already set about threads or devices stays."""
    assert place.address is not None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(max(1, cores // len(place.ranks)))
    values = {
        **os.environ,
        PARENT: str(os.getpid()),
        "WORLD_SIZE": str(place.world),
        "MASTER_ADDR": place.address,
        "MASTER_PORT": str(place.port),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    values.setdefault("OMP_NUM_THREADS", threads)
    # Threads that spin at barriers make small steps 10 to 100 times slower as soon as anything else wants a core.
    values.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    values.setdefault("TORCHINDUCTOR_COMPILE_THREADS", threads)
    if sys.platform == "linux" and place.nodes == 1:
        # All ranks are on this machine; without it gloo looks the host name up, which a container may not resolve.
        values.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if not Path("/dev/nvidiactl").exists():
        values.setdefault("DS_ACCELERATOR", "cpu")
    return values


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _clear(run_dir: Path, place: Place) -> None:
    """Remove what an earlier attempt said of the end of this machine's ranks, and of ranks that there are no more."""
    for folder in (ERRORS, FOLDER):
        for path in (run_dir / folder).glob("rank_*"):
            rank = int(path.stem.removeprefix("rank_"))
            if rank in place.ranks or rank >= place.world:
                path.unlink(missing_ok=True)
    (place.folder(run_dir) / FILE).unlink(missing_ok=True)
    if place.node == 0:
        (run_dir / RESULT).unlink(missing_ok=True)


@contextmanager
def _exclusive(own: Path, relay: Relay) -> Iterator[Owner]:
    """One launcher per node and run directory: a second one waits until the first, perhaps just stopping, has ended."""
    own.mkdir(parents=True, exist_ok=True)
    with (own / ".launch.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            relay.say("waiting for another launcher that still works in this run directory")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield take(own)


def main() -> None:
    """Run the job whose file is the one argument; exits with 0 or the code of an `ExitClass`."""
    die_with_parent(signal.SIGTERM)
    job = TrainingJob.read(sys.argv[1])
    place = find_place(job)
    with open_relay(speaks=place.node == 0) as relay:
        failure = run_job(job, place, relay)
        if failure:
            relay.fail(failure.text)
        elif place.node == 0:
            result: dict[str, Any] = json.loads((Path(job.run_dir) / RESULT).read_text(encoding="utf-8"))
            relay.give(result)
    sys.exit(ExitClass(failure.exit_class).code if failure else 0)


if __name__ == "__main__":
    main()
