"""Small files of numbers or rows, kept by the digest of what decides them: whole or not there, and sealed against damage."""

import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SEAL_BYTES = 16


def entry_of(cache: Path, what: str) -> Path:
    """Where below `cache` that lies which `what` decides."""
    key = xxhash.xxh3_128_hexdigest(what.encode())
    return cache / f"{key[:2]}/{key}"  # one step of pathlib instead of two


def save(path: Path, payload: bytes) -> None:
    """Write an entry; two processes may do so at once, with the same payload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(xxhash.xxh3_128_digest(payload) + payload)
    os.replace(temporary, path)


def load(path: Path) -> NDArray[np.uint8] | None:
    """The payload of an entry, shape (bytes,), or None where there is none or where it is not what was written."""
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:  # `numpy.fromfile` takes twice as long for a small file
        stored = np.empty(os.fstat(file.fileno()).st_size, dtype=np.uint8)
        file.readinto(stored.data)
    payload = stored[SEAL_BYTES:]
    if xxhash.xxh3_128_digest(payload.data) != stored[:SEAL_BYTES].tobytes():
        logger.warning("%s: this cached entry is damaged and is computed again", path)
        with suppress(FileNotFoundError):
            path.unlink()
        return None
    return payload


def save_table(path: Path, table: pa.Table) -> None:
    """Write an entry that holds rows."""
    stored = pa.BufferOutputStream()
    with pa.ipc.new_stream(stored, table.schema) as writer:
        writer.write_table(table)
    save(path, stored.getvalue().to_pybytes())


def load_table(path: Path) -> pa.Table | None:
    """The rows of an entry, or None where there is none or where it is not what was written."""
    payload = load(path)
    return None if payload is None else pa.ipc.open_stream(pa.py_buffer(payload)).read_all()
