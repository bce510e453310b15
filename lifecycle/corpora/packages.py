"""Where the Python sources of installed packages lie, found without importing anything."""

import importlib.util
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
    """The directory of a package, or of the standard library.

    Raises:
        DataError: the package is not installed here, or has no source directory.
    """
    if package == STDLIB:
        return Path(sysconfig.get_paths()["stdlib"])
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise DataError(f"source {source}, field packages: {package!r} is not installed in this environment")
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


def python_files(package: str, source: str) -> list[tuple[Path, str]]:
    """Every source file of a package in order, with its path relative to the package."""
    root = package_root(package, source)
    if root.is_file():
        return [(root, root.name)]
    named = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py"))
    return [(path, name) for name, path in named if not LEFT_OUT & set(name.split("/")[:-1])]


def module_name(package: str, relative: str) -> str:
    """The dotted name of a source file of a package."""
    parts = relative.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    if package != STDLIB and parts != [package]:
        parts.insert(0, package)
    return ".".join(parts) or package
