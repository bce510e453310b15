"""A Postgres of a test's own: a new cluster in a temporary folder, on a loopback address of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 300
UNPRIVILEGED = "nobody"
"""Postgres refuses to run as root; who this is does not matter, the folder is given to him."""


def programs() -> Path | None:
    """Where initdb and postgres lie; Debian keeps them out of PATH, by version."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return candidates[-1] if candidates else None


@dataclass(frozen=True)
class Postgres:
    """A running server. Each of its roles is the owner of a database of that name, as in the official image."""

    bin: Path
    host: str
    roles: Mapping[str, str]
    """Password by role."""

    @property
    def port(self) -> int:
        return 5432

    def variables(self, role: str) -> dict[str, str]:
        """What libpq's programs read."""
        return {"PGHOST": self.host, "PGPORT": str(self.port), "PGPASSWORD": self.roles[role], "PGUSER": role}

    def run(self, role: str, command: str, directory: Path) -> None:
        """A command line of this version's client programs, as one would type it beside the server."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-c", command], check=True, cwd=directory, env=os.environ | self.variables(role) | {"PATH": path}
        )


@contextmanager
def postgres(bin: Path, roles: Mapping[str, str]) -> Iterator[Postgres]:
    """A server with these roles, gone with its data afterwards.

    The address comes from the number of this process: the port stays the one that deployments name, and two tests at once
    do not meet.
    """
    pid = os.getpid()
    host = f"127.{100 + (pid >> 14) % 100}.{(pid >> 7) % 128}.{1 + pid % 128}"
    user = {"user": UNPRIVILEGED, "group": UNPRIVILEGED and "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp") as folder:  # a socket's path may have 107 characters
        if user:
            shutil.chown(folder, UNPRIVILEGED)
        data = Path(folder) / "data"
        made = [
            bin / "initdb",
            "--pgdata",
            data,
            "--username",
            "postgres",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--no-sync",
        ]
        made += ["--auth-local", "trust", "--auth-host", "scram-sha-256"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        log = Path(folder) / "log"
        with log.open("wb") as output:
            settings = {"listen_addresses": host, "unix_socket_directories": folder, "fsync": "off"}
            options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
            server = subprocess.Popen(
                [bin / "postgres", "-D", data, *options], stdout=output, stderr=output, cwd=folder, **user
            )
        try:
            _wait(bin, folder, server, log)
            for role, password in roles.items():
                statements = [
                    f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'",
                    f"CREATE DATABASE {role} OWNER {role}",
                ]
                for statement in statements:
                    asked = [bin / "psql", "--host", folder, "--username", "postgres", "--quiet", "--command", statement]
                    subprocess.run(asked, check=True)
            yield Postgres(bin, host, dict(roles))
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing here is kept
            server.wait()


def _wait(bin: Path, folder: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([bin / "pg_isready", "--host", folder, "--quiet"]).returncode:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, "Postgres did not come up"
        time.sleep(0.1)
