"""Where the peers run: a virtual environment of their own, so that the project does not depend on them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def peer_python(directory: Path, packages: Sequence[str]) -> Path:
    """The interpreter of the environment in `directory`, made with these packages when they are not there."""
    python, installed = directory / "bin" / "python", directory / "packages.txt"
    wanted = "\n".join(packages)
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return python
