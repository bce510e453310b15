"""Where the Python sources of installed packages lie, found without importing anything."""

import importlib.util
import os
import sysconfig
from pathlib import Path

from lifecycle.errors import DataError

STDLIB = "stdlib"
LEFT_OUT = {
    "site-packages",
    "test",
    "tests",
    "testing",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "__pycache__",
    "_vendor",
    "vendored",
}
"""Directories without documentation of their own: tests, vendored copies of other packages, teaching programs."""


def package_root(package: str, source: str) -> Path:
    """The directory (or single file) of a package, or of the standard library.

    Raises:
        DataError: the package is not installed here, or has no Python sources.
    """
    if package == STDLIB:
        return Path(sysconfig.get_paths()["stdlib"])
    top, *below = package.split(".")
    # Only the top name goes to the import system: it would import the parents of a dotted one.
    spec = importlib.util.find_spec(top) if top.isidentifier() else None
    places = [Path(place) for place in (spec.submodule_search_locations or ()) if spec] if spec else []
    candidates = [place.joinpath(*below) for place in places]
    candidates += [place.with_suffix(".py") for place in candidates if below]
    if spec and spec.origin and not places:
        candidates.append(Path(spec.origin))
    for candidate in candidates:
        if candidate.is_dir() or (candidate.is_file() and candidate.suffix == ".py"):
            return candidate
    raise DataError(
        f"source {source}, field packages: {package!r} is not installed in this environment, or has no Python sources"
    )


def python_files(package: str, source: str) -> list[tuple[Path, str]]:
    """Every source file of a package in order, with its path relative to the package."""
    root = package_root(package, source)
    if root.is_file():
        return [(root, root.name)]
    found: list[tuple[str, Path]] = []
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if name not in LEFT_OUT]  # site-packages may hold a hundred thousand files
        here = Path(directory)
        found += [((here / name).relative_to(root).as_posix(), here / name) for name in names if name.endswith(".py")]
    if not found:
        raise DataError(f"source {source}, field packages: {package!r} has no Python source files in {root}")
    return [(path, name) for name, path in sorted(found)]


def module_name(package: str, relative: str) -> str:
    """The dotted name of a source file of a package."""
    parts = relative.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    if package != STDLIB and parts != [package]:
        parts.insert(0, package)
    return ".".join(parts) or package
