"""Results of stateless functions over pieces of input, kept by the digest of everything that decides them.

An entry is a directory of files that never change, whole or not there; artifacts hold hard links to them, so that a result
that is used again costs neither time nor disk. A damaged entry is noticed by its seal and made again.
"""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import xxhash

logger = logging.getLogger(__name__)

SEAL = "seal.json"
CHUNK = 1 << 20


def result(root: Path, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """The entry of `key` below `root`, made by `make(directory)` where there is none, and whether it was there.

    Two processes may make the same entry at once; one of the two equal results stays.
    """
    entry = root / key[:2] / key
    if kept(root, key):
        return entry, True
    temporary = root / f".{key}.{uuid.uuid4().hex[:8]}"
    temporary.mkdir(parents=True)
    try:
        make(temporary)
        (temporary / SEAL).write_text(json.dumps(_seals(temporary)), encoding="utf-8")
        entry.parent.mkdir(exist_ok=True)
        try:
            os.rename(temporary, entry)
        except OSError:
            if not entry.is_dir():  # another process was first, otherwise
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entry, False


def kept(root: Path, key: str) -> Path | None:
    """The entry of `key` below `root`, or None where there is none; a damaged one is set aside."""
    entry = root / key[:2] / key
    if not entry.is_dir():
        return None
    if _is_whole(entry):
        return entry
    logger.warning("%s: this kept result is damaged and is made again", entry)
    _discard(entry)
    return None


def link(file: Path, target: Path) -> None:
    """`file` under another name; a copy where the file system has no hard links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _discard(entry: Path) -> None:
    aside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}")
    os.rename(entry, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _seals(directory: Path) -> dict[str, str]:
    return {path.name: _seal(path) for path in sorted(directory.iterdir()) if path.name != SEAL}


def _seal(path: Path) -> str:
    """XXH3 with 128 bits: the entry is guarded against damage, not against an adversary, and is read on every use."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            state.update(data)
    return state.hexdigest()


def _is_whole(entry: Path) -> bool:
    try:
        return json.loads((entry / SEAL).read_text(encoding="utf-8")) == _seals(entry)
    except (OSError, ValueError):
        return False
