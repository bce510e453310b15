"""Where a materialization happened: code, host and package versions, as run tags."""

import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path

PACKAGES = ("torch", "transformers", "tokenizers", "trl", "deepspeed", "peft", "lm_eval", "dagster", "mlflow", "numpy")
GIT_SECONDS = 10.0


def environment_tags() -> dict[str, str]:
    """Tags `lifecycle.` + hostname, python, packages; git_commit (and git_dirty in a checkout) and image where known.

    `LIFECYCLE_GIT_COMMIT` is what an image was built from; `DAGSTER_CURRENT_IMAGE`, where Dagster's chart and compose.yaml
    put the image's name, becomes `lifecycle.image`.
    """
    tags = {
        "lifecycle.hostname": socket.gethostname(),
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
