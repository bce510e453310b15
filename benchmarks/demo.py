"""How long the demo takes on this machine: install, first run, second run, on a fresh clone in a temporary directory.

    python benchmarks/demo.py [--json FILE] [--skip-install]

`--skip-install` links the virtual environment of this checkout instead of making a new one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def timed(command: list[str], directory: Path) -> float:
    """Seconds that a command takes; its output goes to this terminal, and a failure ends the benchmark."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LIFECYCLE_")}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(directory / ".inductor")
    started = time.monotonic()
    subprocess.run(command, cwd=directory, env=environment, check=True)
    return round(time.monotonic() - started, 1)


def measure(skip_install: bool) -> dict[str, float | str | int | None]:
    """Clone this checkout's HEAD and run its two steps twice."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="demo-benchmark-") as temporary:
        clone = Path(temporary) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        if skip_install:
            (clone / ".venv").symlink_to(ROOT / ".venv")
            command = [str(ROOT / ".venv/bin/python"), "-m", "assets.cli", "run"]
            install = None
        else:
            install = timed(["make", ".venv/.ready"], clone)
            command = ["make", "demo"]
        return {
            "commit": commit,
            "cores": os.cpu_count(),
            "machine": platform.processor() or platform.machine(),
            "install_seconds": install,
            "first_run_seconds": timed(command, clone),
            "second_run_seconds": timed(command, clone),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--skip-install", action="store_true", help="use this checkout's virtual environment")
    arguments = parser.parse_args()
    figures = measure(arguments.skip_install)
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
