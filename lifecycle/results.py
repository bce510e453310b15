"""Results of stateless functions over pieces of input, kept by the digest of everything that decides them.

An entry is a directory of files that never change, whole or not there; artifacts hold hard links to them, so that a result
that is used again costs neither time nor disk. A damaged entry is noticed by its seal and made again: its files are read
again when one of them changed by what the file system says of it, and once after every start of the machine.
"""

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import xxhash

from lifecycle.files import write_atomically

logger = logging.getLogger(__name__)

SEAL = "seal.json"
CHUNK = 1 << 17
"""Larger buffers come from the kernel, and go back to it, each time."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
OLDER_SECONDS = 60


def result(root: Path, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """The entry of `key` below `root`, made by `make(directory)` where there is none, and whether it was there.

    Two processes may make the same entry at once; one of the two equal results stays.
    """
    if kept(root, key):
        return _entry(root, key), True

    def make_it(directory: Path) -> str:
        make(directory)
        return key

    return made(root, make_it), False


def made(root: Path, make: Callable[[Path], str]) -> Path:
    """The entry that `make(directory)` makes; it returns the key, which it may learn only then."""
    temporary = root / f".{uuid.uuid4().hex}"
    temporary.mkdir(parents=True)
    try:
        entry = _entry(root, make(temporary))
        _back_date(temporary)
        (temporary / SEAL).write_text(_seal(temporary).as_json(), encoding="utf-8")
        entry.parent.mkdir(exist_ok=True)
        try:
            os.rename(temporary, entry)
        except OSError:
            if not entry.is_dir():  # another process was first, otherwise
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entry


def _entry(root: Path, key: str) -> Path:
    return root / key[:2] / key


def kept(root: Path, key: str) -> Path | None:
    """The entry of `key` below `root`, or None where there is none; a damaged one is set aside."""
    entry = _entry(root, key)
    if not os.path.isdir(entry):
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


@dataclass(frozen=True)
class _Seal:
    """What an entry consisted of when it was last read whole."""

    digests: dict[str, str]
    states: dict[str, list[int]]
    """Size, time and inode of each file."""
    boot: str
    """The start of the machine since which that was: after a crash a file may keep its size and lose its content."""

    def as_json(self) -> str:
        return json.dumps(vars(self))


@cache
def _boot() -> str:
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _states(directory: Path) -> dict[str, list[int]]:
    with os.scandir(directory) as found:
        stats = {each.name: each.stat() for each in found if not each.name.startswith(".") and each.name != SEAL}
    return {name: [stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in sorted(stats.items())}


def _back_date(directory: Path) -> None:
    """Give the files a time that no later writing can give them, however coarse the clock of the file system."""
    then = time.time() - OLDER_SECONDS
    for name in os.listdir(directory):
        os.utime(f"{directory}/{name}", (then, then))


def _seal(directory: Path) -> _Seal:
    """The seal of the files as they are."""
    states = _states(directory)
    return _Seal({name: _digest(directory / name) for name in states}, states, _boot())


def _digest(path: Path) -> str:
    """XXH3 with 128 bits: the entry is guarded against damage, not against an adversary."""
    state = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(CHUNK):
            state.update(data)
    return state.hexdigest()


def _is_whole(entry: Path) -> bool:
    """Whether the files are those that were sealed. They are read only where size, time or inode of one is another, or the
    machine was started anew since."""
    try:
        with open(f"{entry}/{SEAL}", "rb", buffering=0) as file:  # thousands are read where nothing is new
            seal = _Seal(**json.loads(file.read()))
        if seal.boot and seal.boot == _boot() and seal.states == _states(entry):
            return True
        found = _seal(entry)
        if found.digests != seal.digests:
            return False
        write_atomically(entry / SEAL, found.as_json())
    except (OSError, ValueError, TypeError):
        return False
    return True
