"""Where the peers run: a virtual environment of their own, so that the project does not depend on them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def peer_python(directory: Path, packages: Sequence[str]) -> Path:
    """The interpreter of the environment in `directory`, made with these packages when it is not there."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python
