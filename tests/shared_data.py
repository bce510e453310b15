"""Real corpora that lie beside a checkout on some machines; tests that need them are skipped elsewhere."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def shared(relative: str) -> Path:
    """A file or directory of the shared data; skips the calling test, with the reason, where it is absent."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"shared data not on this machine: {relative}")
    return path
