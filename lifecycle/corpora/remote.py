"""Files behind an fsspec URL (`s3://`, `gs://`, `https://`, `memory://`, `file://`, …)."""

import glob
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from lifecycle.errors import DataError
from lifecycle.secrets import without_credentials

if TYPE_CHECKING:
    import fsspec

CONTENT_CHECKSUMS = ("sha256", "md5Hash", "crc32c", "ETag", "etag")
"""Keys under which file systems state a checksum of the content itself; modification times are not among them."""
MODIFICATION_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""Keys under which file systems state when a file was written: a date, or seconds since 1970."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """One file of an fsspec file system; opened the way a `pathlib.Path` is."""

    filesystem: "fsspec.AbstractFileSystem"
    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file's bytes as they are stored."""
        return self.filesystem.open(self.path, mode)  # type: ignore[return-value]

    def size(self) -> int:
        """Bytes as stored; raises OSError where the file system does not say."""
        size = self._information().get("size")
        if size is None:
            raise OSError(f"{self.filesystem.protocol} does not state the size of {without_credentials(self.path)}")
        return size

    def checksum(self) -> str | None:
        """The checksum of the content that the file system states (`ETag:…`), if it does.

        A weak entity tag (`W/…`) says nothing of the bytes and is not used. The same bytes on two file systems that state
        different checksums therefore count as different data.
        """
        information = self._information()
        for key in CONTENT_CHECKSUMS:
            value = str(information.get(key) or "").strip('"')
            if value and not value.startswith("W/"):
                return f"{key}:{value}"
        return None

    def modified(self) -> float | None:
        """When the file was written, in seconds since 1970; None where the file system does not say."""
        information = self._information()
        for key in MODIFICATION_TIMES:
            value = information.get(key)
            if isinstance(value, str):
                with suppress(ValueError):
                    value = datetime.fromisoformat(value)
            if isinstance(value, datetime):
                return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
            if isinstance(value, int | float):
                return float(value)
        return None

    def _information(self) -> dict[str, Any]:
        try:
            return self.filesystem.info(self.path)
        except OSError:
            raise
        except Exception as error:  # file systems raise what their service's client raises: botocore's are no OSError
            raise OSError(without_credentials(f"{type(error).__name__}: {error}")) from error

    def digest(self) -> str:
        """The checksum that the file system states, else SHA-256 over the whole file."""
        stated = self.checksum()
        if stated:
            return stated
        digest = hashlib.sha256()
        with self.open() as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def is_url(path: str) -> bool:
    """Whether fsspec, not the local file system, resolves this path."""
    return "://" in path


def expand_url(url: str, what: str) -> list[tuple[RemoteFile, str]]:
    """The files that `url` means, with names relative to its part without wildcards; hidden files are left out.

    Raises:
        DataError: the protocol is unknown or its package is missing, the service cannot be reached, or nothing matches.
    """
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(url)
        filesystem.invalidate_cache()  # a process that looks again an hour later would see what it saw before
        if glob.has_magic(path):
            base, found = _fixed_part(path), filesystem.glob(path)
            found = [item for item in found if filesystem.isfile(item)]
        elif filesystem.isfile(path):
            return [(RemoteFile(filesystem, path), PurePosixPath(path).name)]
        else:
            base, found = path.rstrip("/"), filesystem.find(path)
    except Exception as error:  # file systems raise what their service's client raises: botocore's are no OSError
        said = without_credentials(f"{url!r} cannot be read: {type(error).__name__}: {error}")
        raise DataError(
            f"{what}: {said.rstrip('.')}. Check the address, the credentials in the environment, and that the package of "
            "this protocol (s3fs, gcsfs, …) is installed and may reach the service."
        ) from error
    named = sorted((str(item).removeprefix(base).lstrip("/"), str(item)) for item in found)
    visible = [
        (RemoteFile(filesystem, item), name)
        for name, item in named
        if not any(part.startswith(".") for part in name.split("/"))
    ]
    if not visible:
        raise DataError(
            f"{what}: no file matches {without_credentials(url)!r}; check the address (a file, a directory or a glob)"
        )
    return visible


def _fixed_part(pattern: str) -> str:
    parts = pattern.split("/")
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "/".join(parts[:fixed])
