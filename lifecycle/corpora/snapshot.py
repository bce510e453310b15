"""The content digest of what a source would read, without reading documents: the first link of every lineage."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lifecycle.corpora.known_digests import KnownDigests
from lifecycle.corpora.packages import python_files
from lifecycle.corpora.paths import Location, complete, expand
from lifecycle.corpora.remote import RemoteFile
from lifecycle.digests import digest_file, digest_json
from lifecycle.errors import DataError
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.base import Section
from lifecycle.recipe.corpora import DatasetsSource, FilesRead, PythonDocsSource, PythonTopicsSource, SourceBase
from lifecycle.recipe.record_files import RecordFiles


class FileDigest(Section):
    """One file that a source reads; `path` is relative to what the recipe names."""

    path: str
    size: int
    sha256: str
    """Of the content; for a file behind a URL whose file system states a checksum of the content, that (`ETag:…`)."""


class Snapshot(Section):
    """What a source consisted of: the same bytes under the same names give the same digest, wherever they lie."""

    digest: str
    files: tuple[FileDigest, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files)


def snapshot(source: SourceBase | RecordFiles | FilesRead | StartingModel, kept: Path | None = None) -> Snapshot:
    """Hash every file that `source` would read; of a dataset or model of the Hub, its name and commit.

    Args:
        kept: a directory in which the digests of a source's files are kept between runs (`KnownDigests`); None reads all.

    Raises:
        DataError: a path matches nothing, a package is not installed, or a file cannot be read.
    """
    if isinstance(source, DatasetsSource) and source.dataset is not None:
        return Snapshot(digest=digest_json([source.dataset, source.revision, source.config, source.split])[:32], files=())
    if isinstance(source, StartingModel) and source.hub is not None:
        return Snapshot(digest=digest_json([source.hub, source.revision])[:32], files=())
    files = source_files(source)
    if kept is None:
        return _hash_all(files, _digest)
    place = [getattr(source, "name", ""), getattr(source, "path", None) or getattr(source, "packages", None)]
    known = KnownDigests(kept / "digests" / f"{digest_json(place)[:32]}.json")
    found = _hash_all(files, known.of)
    known.save()
    return found


@contextmanager
def unchanged(source: SourceBase) -> Iterator[None]:
    """That no file of `source` changes while it is read: what is read would not be what the snapshot speaks of.

    Raises:
        DataError: a file changed, appeared or vanished meanwhile.
    """
    before = _states(source)
    yield
    after = _states(source)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            raise DataError(
                f"source {source.name}: {path} changed while it was read; run again when nothing writes to it any more"
            )


def states(source: SourceBase) -> dict[str, list[float | str | None]]:
    """Size, and time or checksum as far as the file system states them, of every file that `source` would read, by name.

    No file is read. Of a dataset of the Hub, which has a commit, there is nothing to tell.

    Raises:
        DataError: as `snapshot`.
    """
    if isinstance(source, DatasetsSource) and source.dataset is not None:
        return {}
    return {name: [file_size(path), *_marks(path)] for path, name in source_files(source)}


def _marks(path: Location) -> list[float | str | None]:
    try:
        return [path.modified(), path.checksum()] if isinstance(path, RemoteFile) else [path.stat().st_mtime]
    except OSError as error:
        raise _unreadable(path, error) from error


def _states(source: SourceBase) -> dict[str, tuple[int, int]]:
    """Size and time of every file on this machine."""
    if isinstance(source, DatasetsSource) and source.dataset is not None:
        return {}
    paths = [path for path, _ in source_files(source) if isinstance(path, Path)]
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.stat()]}


def file_snapshots(sources: Iterable[object]) -> dict[str, str]:
    """Digest by name of those entries (instruction or preference sources, files of the corpus stage) that are files."""
    files = [entry for entry in sources if isinstance(entry, RecordFiles | FilesRead)]
    return {entry.name: snapshot(entry).digest for entry in files}


def source_files(
    source: SourceBase | RecordFiles | FilesRead | StartingModel,
) -> Sequence[tuple[Location, str]]:
    """The files of a source in reading order, each with a name that does not depend on where the source lies."""
    if isinstance(source, PythonDocsSource):
        return [
            (path, f"{package}/{name}") for package in source.packages for path, name in python_files(package, source.name)
        ]
    if isinstance(source, PythonTopicsSource):
        from pydoc_data import topics

        return [(Path(topics.__file__), "topics.py")]
    if isinstance(source, FilesRead):
        return expand(source.path, source.name)
    if isinstance(source, StartingModel):
        return expand(source.path or "", "path of a model (base_model.start, instructions.scores.model)")
    path = getattr(source, "path")  # noqa: B009 - every other kind has one, the base class has not
    what = f"source {source.name}, field path"
    return complete(expand(path, what), getattr(source, "marker", None), what)


def file_size(path: Location) -> int:
    """Bytes as stored; raises DataError where they cannot be told."""
    try:
        return path.size() if isinstance(path, RemoteFile) else path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _digest(path: Location) -> str:
    return path.digest() if isinstance(path, RemoteFile) else digest_file(path)


def file_digest(path: Location, of: Callable[[Location], str] = _digest) -> str:
    """Digest of a file's content; raises DataError where it cannot be read."""
    try:
        return of(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Location, error: OSError) -> DataError:
    return DataError(f"{path if isinstance(path, Path) else path.path}: cannot be read: {error.strerror or error}")


def _hash_all(files: Sequence[tuple[Location, str]], of: Callable[[Location], str]) -> Snapshot:
    def one(item: tuple[Location, str]) -> FileDigest:
        path, name = item
        return FileDigest(path=name, size=file_size(path), sha256=file_digest(path, of))

    if len(files) == 1:  # a look at 500 sources of one file spent most of its time on starting threads
        entries = (one(files[0]),)
    else:
        with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2)) as pool:
            entries = tuple(pool.map(one, files))
    return Snapshot(digest=digest_json([[e.path, e.size, e.sha256] for e in entries])[:32], files=entries)
