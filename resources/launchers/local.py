"""Runs training programs as a process group on this machine, followed through Dagster Pipes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    PipesTempFileContextInjector,
    PipesTempFileMessageReader,
    open_pipes_session,
)

from lifecycle.endpoint.variables import KEY
from lifecycle.errors import JobFailedError
from lifecycle.jobs import TrainingJob
from resources.launchers.base import Launcher

STOP_SECONDS = 75.0
"""The launcher itself gives the ranks 60 s for a checkpoint."""


class LocalLauncher(Launcher):
    """Starts `lifecycle.training.launch` and waits for it; progress appears in the Dagster log while it runs."""

    def launch(self, context: AssetExecutionContext, job: TrainingJob) -> dict[str, Any]:
        """See `Launcher.launch`.

        Cancelling the Dagster run asks the job to stop, waits for its checkpoint, and leaves no process behind.
        """
        with open_pipes_session(
            context=context,
            context_injector=PipesTempFileContextInjector(),
            message_reader=PipesTempFileMessageReader(),
        ) as session:
            process = subprocess.Popen(
                [sys.executable, "-m", "lifecycle.training.launch", str(job.write())],
                env={**_environment(), **session.get_bootstrap_env_vars(), "LIFECYCLE_PARENT_PID": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                code = process.wait()
            finally:
                _stop(process)
        if code != 0:
            raise _failed(job, code)
        return json.loads((Path(job.run_dir) / "result.json").read_text(encoding="utf-8"))


def _environment() -> dict[str, str]:
    """This process's own, without the chat endpoint's key: no program asks it, the assets themselves do."""
    return {name: value for name, value in os.environ.items() if name != KEY}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the launcher if it still runs; its ranks end with it, even when it has to be killed."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


def _failed(job: TrainingJob, code: int) -> JobFailedError:
    path = Path(job.run_dir) / "failure.json"
    if not path.exists():
        return JobFailedError(f"{job.stage}: the launcher ended with exit code {code} and left no failure.json", "unknown")
    failure = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        f"{job.stage}: rank {failure['rank']} failed, {failure['exit_class']}: {failure['message']}",
        failure["advice"],
    ]
    if failure["last_lines"]:
        lines += [f"The end of its log (all of it is in {job.run_dir}/logs):", *failure["last_lines"]]
    return JobFailedError("\n".join(lines), failure["exit_class"])
