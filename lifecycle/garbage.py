"""What in a store nobody needs any more: found by reachability, removed only on request."""

import os
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle.artifacts import Artifact, Store
from lifecycle.endpoint.cache import FOLDER as PAID_ANSWERS
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.locks import StoreLock
from lifecycle.manifest import MANIFEST, read_manifest
from lifecycle.retention import PLACE, retained

Key = tuple[str, str]
"""Stage and fingerprint."""
WORKSPACE = re.compile(r"^.+-([0-9a-f]{32})-[0-9a-f]{8}$")
"""A directory of `.tmp`, in which a run makes the artifact of the fingerprint."""
SETTLED = 3 * 10**9
"""Nanoseconds: a directory that was written to so shortly before may be written to again without another time."""
UNREACHED = "no asset, no registered version and no kept corpus was made from it"


@dataclass(frozen=True)
class Garbage:
    """One directory that may go. `size` is what its removal frees: a file that is also linked elsewhere counts 0."""

    path: Path
    why: str
    size: int


def find_garbage(
    store: Store, registered: Iterable[Key], min_age: float, cache: bool = False, paid_answers: bool = False
) -> list[Garbage]:
    """What no asset's last artifact, registered version or kept corpus reaches through its inputs, and the runs of these.

    Args:
        registered: artifacts of the model versions in the registry.
        min_age: seconds; what changed more recently stays, for a run may be about to refer to it or to go on from it.
        cache: also what stages keep of pieces of their input, which costs only time to make again.
        paid_answers: also what chat endpoints answered, which costs money to ask again.

    Raises:
        LifecycleError: the manifest of an artifact in use cannot be read: what it was made from is unknown then, and
            nothing is safe to remove.
    """
    before = time.time() - min_age
    kept = _reachable(store, {*_current(store), *registered, *retained(store)})
    artifacts = dict(_artifacts(store))
    found = [(path, UNREACHED) for key, path in artifacts.items() if key not in kept and _changed(path) < before]
    staying = {path.name for path in artifacts.values()} - {path.name for path, _ in found}
    found += [
        (path, "run of an artifact that is not there")
        for path in _directories(store.root / ".runs")
        if path.name not in staying and _changed(path) < before
    ]
    others = {".tmp": "left behind by a killed run", ".quarantine": "damaged, and made again since"}
    for place, why in others.items():
        found += [(path, why) for path in _directories(store.root / place) if _changed(path) < before]
    for path in _directories(store.results):
        paid = path.name == PAID_ANSWERS
        if (paid_answers if paid else cache) and _changed(path) < before:
            found.append((path, "paid answers of chat endpoints" if paid else "kept results of pieces"))
    return [Garbage(path, why, size) for (path, why), size in zip(found, _freed([path for path, _ in found]), strict=True)]


def remove(store: Store, garbage: Iterable[Garbage]) -> Iterator[Garbage]:
    """Remove them one by one, each whole or not at all, and yield what is gone.

    What an asset refers to by now, because a run used it again meanwhile, stays, and so does a corpus kept since.
    """
    in_use = _InUse(store)
    for each in garbage:
        fingerprint = WORKSPACE.sub(r"\1", each.path.name)
        with StoreLock(store.root / ".locks" / f"{fingerprint}.lock"):  # a run that works there holds it
            if not each.path.exists() or fingerprint in in_use.now():
                continue
            aside = store.root / ".tmp" / f"removed-{uuid.uuid4().hex}"
            aside.parent.mkdir(exist_ok=True)
            os.rename(each.path, aside)
            shutil.rmtree(aside)
        yield each


class _InUse:
    """What assets refer to and what is kept, read again only where something was written since.

    A store of 10^5 artifacts and a thousand references would otherwise be read 10^8 times.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[Path, int] = {}
        self._at = 0
        self._fingerprints: set[str] = set()

    def now(self) -> set[str]:
        """Fingerprints: references and lists are replaced by renaming, which changes the time of their directory."""
        seen = self._times()
        if seen != self._seen or max(seen.values(), default=0) + SETTLED > self._at:
            self._seen, self._at = seen, time.time_ns()
            self._fingerprints = {key[1] for key in (*_current(self._store), *retained(self._store))}
        return self._fingerprints

    def _times(self) -> dict[Path, int]:
        places = [self._store.root / PLACE, *(self._store.root / ".refs").glob("*/*")]
        return {place: place.stat().st_mtime_ns for place in places if place.exists()}


def _current(store: Store) -> Iterator[Key]:
    """What each asset (and partition) of every recipe was last."""
    for path in (store.root / ".refs").rglob("*.json"):
        try:
            artifact = Artifact.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LifecycleError(
                f"{path}: damaged reference; materialize its asset again, then nothing in use can go"
            ) from error
        yield artifact.stage, artifact.fingerprint


def _reachable(store: Store, roots: set[Key]) -> set[Key]:
    """`roots` and all that they were made from."""
    seen: set[Key] = set()
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        directory = store.directory(*key)
        if not directory.is_dir():  # removed by hand, or a snapshot
            continue
        try:
            manifest = read_manifest(directory)
        except CorruptArtifactError as error:
            raise LifecycleError(f"{error}. What it was made from is unknown, so nothing is removed") from error
        waiting += [(item.stage, item.fingerprint) for item in manifest.inputs]
    return seen


def _artifacts(store: Store) -> Iterator[tuple[Key, Path]]:
    for stage in _directories(store.root):
        if not stage.name.startswith("."):
            for path in _directories(stage):
                if (path / MANIFEST).is_file():
                    yield (stage.name, path.name), path


def _directories(path: Path) -> list[Path]:
    """The directories in it, in order; never a link to one: what it leads to is not the store's."""
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.is_symlink()) if path.is_dir() else []


def _changed(path: Path) -> float:
    """When anything in it changed last."""
    return max([path.lstat().st_mtime, *(each.lstat().st_mtime for each in path.rglob("*"))])


def _freed(paths: list[Path]) -> list[int]:
    """Bytes that go with each of them: those of files all of whose names are below `paths`, counted at the last name."""
    files = [[each.lstat() for each in path.rglob("*") if not each.is_dir() or each.is_symlink()] for path in paths]
    names = Counter((file.st_dev, file.st_ino) for group in files for file in group)
    sizes: list[int] = []
    for group in files:
        own = {(file.st_dev, file.st_ino): file for file in group}
        size = 0
        for identity, file in own.items():
            if names[identity] >= file.st_nlink:
                size += file.st_size
                names[identity] = 0
        sizes.append(size)
    return sizes
