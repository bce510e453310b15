"""Runs one program that a model wrote: apart, briefly, and with little. It is a fence against accidents, not a prison.

A program runs in a process group of its own that is killed at its end, in an empty directory that is removed, with no
environment of ours, and with limits on time, memory, file size and open files; where the machine allows it, without a
network, without sight of other processes, and as nobody. It can still read what its user may read, and a fault of the kernel
or the interpreter opens it: programs of an adversary belong in a machine of their own.
"""

import contextlib
import functools
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

SECONDS = 10.0
MEMORY_BYTES = 1 << 30
FILE_BYTES = 1 << 20
OPEN_FILES = 32
NOBODY = 65534
UNSHARE = ("unshare", "--user", "--net", "--ipc", "--pid", "--fork", "--kill-child")
"""util-linux: namespaces of its own, and the death of all of them with their first process."""
STARTER = """
import os, resource, sys
token, _, source = sys.stdin.buffer.read().decode("utf-8").partition("\\n")
for limit, value in (("AS", {memory}), ("FSIZE", {file}), ("NOFILE", {files}), ("CPU", {cpu}), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + limit), (value, value))
report = os.dup(1)
nowhere = os.open(os.devnull, os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(nowhere, stream)
exec(compile(source, "program", "exec"), {{"__name__": "program"}})
os.write(report, token.encode())
"""


@dataclass(frozen=True)
class Outcome:
    """Whether a program ran to its end, and if not what ended it."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Isolation:
    """What of the machine is out of reach, beyond the limits that always hold."""

    unshared: bool
    """No network, no other processes."""
    nobody: bool
    """Runs as a user that owns nothing."""


def run_program(source: str, seconds: float = SECONDS) -> Outcome:
    """Run `source` as a program; it passes when it gets to its last line within `seconds`.

    Leaving early is no pass, whatever the exit code: the starter reports a token that the program was never told.
    """
    return _run(source, seconds, isolation())


@functools.cache
def isolation() -> Isolation:
    """The most that this machine allows, tried out once.

    Raises:
        RuntimeError: not even a program that does nothing runs to its end.
    """
    root = os.geteuid() == 0
    for unshared, nobody in ((True, root), (True, False), (False, root), (False, False)):
        chosen = Isolation(unshared, nobody)
        if _run("pass", 30.0, chosen).passed:
            missing = [*([] if unshared else ["the network and other processes are in reach"])]
            missing += ["it runs as root"] if root and not nobody else []
            if missing:
                logger.warning("sandbox: this machine does not allow all of it: %s", "; ".join(missing))
            return chosen
    raise RuntimeError("the sandbox cannot run the Python interpreter at all; is it readable for other users?")


def _run(source: str, seconds: float, chosen: Isolation) -> Outcome:
    token = secrets.token_hex(16)
    limits = {"memory": MEMORY_BYTES, "file": FILE_BYTES, "files": OPEN_FILES, "cpu": int(seconds) + 1}
    command = [*(UNSHARE if chosen.unshared else ()), sys.executable, "-I", "-c", STARTER.format(**limits)]
    # Files, not pipes: what the program left running may hold a pipe open.
    with (
        tempfile.TemporaryDirectory(prefix="program-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as said,
    ):
        given.write(f"{token}\n{source}".encode())
        given.seek(0)
        identity: dict[str, Any] = {}
        if chosen.nobody:
            identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(folder, NOBODY, NOBODY)
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(folder),
                stdin=given,
                stdout=said,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **identity,
            )
        except OSError as error:
            return Outcome(False, f"cannot be started: {error}")
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Outcome(False, f"took more than {seconds:g} s")
        finally:
            _end(process)
        said.seek(0)
        passed = said.read() == token.encode()
        return Outcome(passed, "" if passed else f"ended early, exit code {code}")


def _environment(folder: str) -> dict[str, str]:
    """Nothing of ours: our own holds secrets."""
    path = os.pathsep.join(("/usr/bin", "/bin"))
    return {"PATH": path, "HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


def _end(process: subprocess.Popen) -> None:
    """Kill the whole group: also what the program left behind when it ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
