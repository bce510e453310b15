"""What numba keeps on disk is not used once any module of the package has changed."""

import subprocess
import sys
from pathlib import Path

from lifecycle.curation.compiled import compiled, package_stamp

CALLER = """
from lifecycle.curation.compiled import compiled
from part import column

@compiled
def ask():
    return column()
"""
PART = """
from lifecycle.curation.compiled import compiled
from columns import COLUMN

@compiled
def column():
    return COLUMN
"""


def _ask(package: Path) -> list[str]:
    program = "import caller; print(caller.ask(), sum(caller.ask.stats.cache_hits.values()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{package}:{':'.join(sys.path)}"},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.split()


def test_a_constant_of_another_module_is_compiled_in_anew(tmp_path: Path):
    """After `git pull` a kernel from before would have filled the columns of yesterday: only its own file counted."""
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "part.py").write_text(PART)
    (tmp_path / "columns.py").write_text("COLUMN = 3\n")
    assert _ask(tmp_path) == ["3", "0"]
    assert _ask(tmp_path) == ["3", "1"]
    (tmp_path / "columns.py").write_text("COLUMN = 4\n")
    assert _ask(tmp_path) == ["4", "0"]


def test_the_stamp_is_of_names_and_contents(tmp_path: Path):
    stamps = set()
    for name, content in (("a.py", "1"), ("b.py", "1"), ("b.py", "2")):
        (tmp_path / name).write_text(content)
        package_stamp.cache_clear()
        stamps.add(package_stamp(tmp_path))
    assert len(stamps) == 3
    assert compiled(lambda value: value + 1)(1) == 2
