"""Where a materialization happened: code, host and package versions, as run tags."""

import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path

import psutil

PACKAGES = ("torch", "transformers", "tokenizers", "trl", "deepspeed", "peft", "lm_eval", "dagster", "mlflow", "numpy")
GIT_SECONDS = 10.0


def environment_tags() -> dict[str, str]:
    """Tags `lifecycle.` + hostname, hardware, python, packages; git_commit (with git_dirty in a checkout), image if known.

    `LIFECYCLE_GIT_COMMIT` is what an image was built from; `DAGSTER_CURRENT_IMAGE`, where Dagster's chart and compose.yaml
    put the image's name, becomes `lifecycle.image`.
    """
    tags = {
        "lifecycle.hostname": socket.gethostname(),
        "lifecycle.hardware": hardware(),
        "lifecycle.python": platform.python_version(),
        "lifecycle.packages": " ".join(f"{name}={version}" for name, version in _versions()),
    }
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["lifecycle.git_commit"] = commit
        tags["lifecycle.git_dirty"] = "true" if _git("status", "--porcelain", "--untracked-files=no") else "false"
    elif built := os.environ.get("LIFECYCLE_GIT_COMMIT"):
        tags["lifecycle.git_commit"] = built
    if image := os.environ.get("DAGSTER_CURRENT_IMAGE"):
        tags["lifecycle.image"] = image
    return tags


def hardware() -> str:
    """Processors, memory and GPUs of the machine that this process runs on, in words.

    In a cluster that is where the step ran; a training's own devices are among the figures of its run.
    """
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")), ""
    )
    parts = [f"{os.cpu_count()} × {model or platform.machine()}", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"]
    for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        parts += [line.partition(":")[2].strip() for line in _lines(card) if line.startswith("Model")]
    return ", ".join(parts)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    """Output of git on this code's checkout; None without git or outside a checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
