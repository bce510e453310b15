"""Runs of a source's files: what one worker reads at a time, and what the result is kept for.

Where a piece ends depends on the names and sizes around it, so that a file added in one place moves no other piece's bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.corpora.cuts import ends_run, mean_size
from lifecycle.corpora.paths import Files, Location
from lifecycle.corpora.snapshot import Snapshot, file_digest, file_size, source_files
from lifecycle.digests import digest_json
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import FileSource

PIECES = 64
"""About as many pieces as a small source of small files has; a file is never split."""
SMALLEST_MEAN, LARGEST_MEAN = 1 << 18, 1 << 24
"""Bytes of a piece as they are stored."""


@dataclass(frozen=True)
class Piece:
    """Some files that are read together, and the digest of the content of each."""

    files: Files
    digests: tuple[str, ...]

    def key(self, settings: str) -> str:
        """Digest of names, content, and what decides the result besides."""
        content = [[name, digest] for (_, name), digest in zip(self.files, self.digests, strict=True)]
        return digest_json({"files": content, "settings": settings})[:32]

    def check_unchanged(self, source: str) -> None:
        """That the files still are what the snapshot speaks of: what was read of others must not be kept under this key.

        Raises:
            DataError: one of them is not.
        """
        for (location, name), digest in zip(self.files, self.digests, strict=True):
            if digest and file_digest(location) != digest:
                raise DataError(
                    f"source {source}: {name} changed while it was read; run again when nothing writes to it any more"
                )


def pieces(source: FileSource, known: Snapshot | None) -> list[Piece]:
    """The pieces of all files of `source`, in reading order.

    Args:
        known: the source's snapshot; without one, results can only be kept by the names of the files.

    Raises:
        DataError: the files are not those of the snapshot.
    """
    files = source_files(source)
    if known and [entry.path for entry in known.files] != [name for _, name in files]:
        raise DataError(f"source {source.name}: its files changed while they were read; run it again")
    digests = [entry.sha256 for entry in known.files] if known else [""] * len(files)
    sizes = [entry.size for entry in known.files] if known else [file_size(location) for location, _ in files]
    mean = mean_size(sum(sizes), PIECES, SMALLEST_MEAN, LARGEST_MEAN)
    found, start, size = [], 0, 0
    for place, (_, name) in enumerate(files):
        size += sizes[place]
        if place + 1 == len(files) or ends_run(name, sizes[place], size, mean):
            found.append(_piece(files, digests, start, place + 1))
            start, size = place + 1, 0
    return found


def _piece(files: Sequence[tuple[Location, str]], digests: Sequence[str], start: int, end: int) -> Piece:
    return Piece(tuple(files[start:end]), tuple(digests[start:end]))
