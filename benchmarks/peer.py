"""Where the peers run: a virtual environment of their own, so that the project does not depend on them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def peer_python(directory: Path, packages: Sequence[str]) -> Path:
    """The interpreter of the environment in `directory`, made with these packages when they are not there."""
    python, installed = directory / "bin" / "python", directory / "packages.txt"
    wanted = "\n".join(packages)
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return python


def answer(python: Path, script: str, *arguments: str | Path) -> Any:
    """What a script of this directory says in JSON on the last line of its output, run by the peer's interpreter."""
    done = subprocess.run([python, Path(__file__).with_name(script), *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
