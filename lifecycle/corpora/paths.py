"""Which files a recipe's path means, and how their bytes are opened."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lifecycle.corpora.remote import RemoteFile, expand_url, is_url
from lifecycle.errors import DataError

Location = Path | RemoteFile
Files = Sequence[tuple[Location, str]]
"""Some files, each with a name that does not depend on where they lie."""

UNSET = re.compile(r"\$(\w+|\{\w+\})")


def expand(path: str, what: str) -> Sequence[tuple[Location, str]]:
    """The files that `path` means, in order, each with its name relative to the part of the path without wildcards.

    A file stands for itself, a directory for every file below it, and `*`, `?`, `[…]` and `**` are wildcards.
    `$NAME` and `${NAME}` are taken from the environment. Hidden files are left out. An fsspec URL (`s3://bucket/*.jsonl`)
    means the same on its file system.

    Raises:
        DataError: the path is empty, a variable in it is not set, or nothing matches; the message begins with `what`
            (source and field).
    """
    full = os.path.expanduser(os.path.expandvars(path))
    if not full.strip():
        raise DataError(f"{what}: the path {path!r} is empty")
    missing = UNSET.search(full)
    if missing:
        raise DataError(f"{what}: the environment variable in {path!r} is not set ({missing.group(0)})")
    if is_url(full):
        return expand_url(full, what)
    root = Path(full)
    if root.is_file():
        return [(root, root.name)]
    if root.is_dir():
        found = [item for item in _below(root, what) if item.is_file()]
        base = root
    elif root.exists():
        raise DataError(f"{what}: {full!r} is neither a file nor a directory (a pipe, socket or device); name a file")
    else:
        found = [Path(item) for item in glob.glob(full, recursive=True) if os.path.isfile(item)]
        base = _fixed_part(root)
    named = sorted((item.relative_to(base).as_posix(), item) for item in found)
    visible = [(item, name) for name, item in named if not any(part.startswith(".") for part in name.split("/"))]
    if not visible:
        raise DataError(f"{what}: no file matches {full!r}; check the path (a file, a directory or a glob)")
    return visible


def complete(files: Files, marker: str | None, what: str) -> Files:
    """Those files beside which `marker` lies (`*` in it stands for the file's own name), and no marker itself.

    Raises:
        DataError: there is none.
    """
    if marker is None:
        return files
    marked = [
        (file, name)
        for file, name in files
        if not fnmatchcase(file.name, marker) and _exists(file, marker.replace("*", file.name))
    ]
    if not marked:
        raise DataError(f"{what}: none of {len(files)} files is complete yet: no {marker!r} lies beside it")
    return marked


def _exists(beside: Location, name: str) -> bool:
    if isinstance(beside, RemoteFile):
        return beside.filesystem.exists(f"{beside.path.rpartition('/')[0]}/{name}")
    return beside.with_name(name).exists()


def _below(root: Path, what: str) -> Iterator[Path]:
    """Everything below a directory; `Path.rglob` would leave out in silence what it may not look into."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{what}: {error.filename}: this directory cannot be read: {error.strerror}") from error

    for directory, _, names in os.walk(root, onerror=refuse):
        yield from (Path(directory, name) for name in names)


def _fixed_part(pattern: Path) -> Path:
    fixed = Path(pattern.anchor)
    for part in pattern.parts[len(fixed.parts) : -1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed
