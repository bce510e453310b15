"""What a source's files consist of: each file itself, or the members of an archive, read without unpacking to disk."""

import fnmatch
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from lifecycle.corpora.opening import (
    FAULTS,
    FREE_BYTES,
    MAX_RATIO,
    GuardedReader,
    UnreadableError,
    as_unreadable,
    decompress,
    open_bytes,
    open_stored,
    rule_of,
)
from lifecycle.corpora.paths import Files, Location
from lifecycle.corpora.records import Damage, Notes
from lifecycle.corpora.snapshot import source_files
from lifecycle.recipe.corpora import FileSource

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
ENCRYPTED = 1
"""Bit of a zip member's flags."""


@dataclass(frozen=True)
class Part:
    """One file or archive member; what `open` gives raises UnreadableError, on opening and on reading."""

    name: str
    stored: Callable[[], tuple[BinaryIO, int]]
    """Opens the bytes as they are stored, and tells how many there are."""
    location: Location | None = None
    """Where the file lies, unless it is a member of an archive."""

    def open(self, keep_gzip: bool = False) -> BinaryIO:
        """The bytes, decompressed as the name's suffix says; `keep_gzip` leaves gzip to a reader that knows its members."""
        raw, size = self.stored()
        return decompress(raw, "" if keep_gzip and self.name.lower().endswith(".gz") else self.name, size)


def parts(source: FileSource, notes: Notes, files: Files | None = None) -> Iterator[Part | Damage]:
    """The parts of some files of `source`, or of all, in order; each must be read before the next is asked for.

    Archives (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst) give their members that match `source.members`, under
    `<archive>/<member>`; `notes` counts members left out by that pattern. Hidden members are left out as hidden files are.
    Damage: `unsafe_member_path` (absolute, or out of the archive by `..`), `member_is_a_link`, `encrypted_member`,
    `nested_archive`, `unreadable_archive` (also one that is cut short), `decompression_bomb`.
    """
    for location, name in source_files(source) if files is None else files:
        lowered = name.lower()
        if lowered.endswith(".zip"):
            yield from _guarded(name, _zip(source, location, name, notes))
        elif lowered.endswith(TAR_SUFFIXES):
            yield from _guarded(name, _tar(source, location, name, notes))
        else:
            yield Part(name, partial(open_stored, location), location)


def _guarded(name: str, members: Iterator[Part | Damage]) -> Iterator[Part | Damage]:
    """What an archive gives until it cannot be read further; that is counted once."""
    try:
        yield from members
    except FAULTS as error:
        fault = as_unreadable(error)
        yield Damage(rule_of(fault, "unreadable_archive"), name, str(fault))


def _tar(source: FileSource, location: Location, name: str, notes: Notes) -> Iterator[Part | Damage]:
    with open_bytes(location) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            inner = f"{name}/{member.name}"
            if member.isdir():
                continue
            if member.issym() or member.islnk():
                yield Damage("member_is_a_link", inner, member.linkname)
            elif not member.isfile():
                yield Damage("unreadable_member", inner, "neither a file nor a directory")
            elif isinstance(verdict := _judge(source, name, member.name, notes), Damage):
                yield verdict
            elif verdict:
                yield Part(inner, _member(lambda member=member: archive.extractfile(member), member.size))


def _zip(source: FileSource, location: Location, name: str, notes: Notes) -> Iterator[Part | Damage]:
    with location.open("rb") as file, zipfile.ZipFile(file) as archive:
        budget = file.seek(0, io.SEEK_END) * MAX_RATIO + FREE_BYTES
        for member in archive.infolist():
            inner = f"{name}/{member.filename}"
            if member.is_dir():
                continue
            if isinstance(verdict := _judge(source, name, member.filename, notes), Damage):
                yield verdict
            elif verdict and member.flag_bits & ENCRYPTED:
                yield Damage("encrypted_member", inner, "")
            elif verdict:
                budget -= member.file_size
                if budget < 0:
                    raise UnreadableError(f"{inner}: the members together claim to be too large", "decompression_bomb")
                yield Part(inner, _member(lambda member=member: archive.open(member), member.file_size))


def _member(open_it: Callable[[], Any], size: int) -> Callable[[], tuple[BinaryIO, int]]:
    def stored() -> tuple[BinaryIO, int]:
        try:
            stream = open_it()
        except FAULTS as error:
            raise as_unreadable(error) from error
        # What an archive's directory claims counts against its budget, so that no more than that may come out.
        return io.BufferedReader(GuardedReader(stream, size)), size

    return stored


def _judge(source: FileSource, archive: str, member: str, notes: Notes) -> Damage | bool:
    """Whether a member is read, or why it cannot be."""
    path = PurePosixPath(member.replace("\\", "/"))
    inner = f"{archive}/{member}"
    if path.is_absolute() or ".." in path.parts or (len(member) > 1 and member[1] == ":"):
        return Damage("unsafe_member_path", inner, member)
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False
    if not fnmatch.fnmatchcase(str(path), source.members):
        notes.counts["members_left_out"] += 1
        return False
    if member.lower().endswith((".zip", *TAR_SUFFIXES)):
        return Damage("nested_archive", inner, "archives inside archives are not opened: unpack the outer one first")
    return True
