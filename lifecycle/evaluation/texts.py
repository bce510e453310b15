"""Every text of evaluation files, whatever their fields are called: what decontamination looks for."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lifecycle.corpora.opening import UnreadableError, open_bytes, open_stored
from lifecycle.corpora.paths import Location, expand
from lifecycle.errors import DataError

COMPRESSED = (".gz", ".bz2", ".zst")
READ = (".jsonl", ".json", ".csv", ".tsv", ".txt")
IDENTIFIERS = ("id", "task_id", "question_id", "item_id", "ID")
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class EvaluationText:
    """One string of one evaluation item."""

    file: str
    """Name relative to the recipe's path, with the member's name where the file is an archive."""
    item: str
    """The item's own id, else its number in the file, from 1."""
    text: str


def read_evaluation_texts(paths: Iterable[str], field: str) -> Iterator[EvaluationText]:
    """Every string, at every depth, of every item of the files that `paths` mean (see `expand`).

    JSONL, JSON (a list of items, or an object that holds one), CSV and TSV with a header, text (an item a line), each also
    as .gz, .bz2 or .zst, and tar or zip of those; other members of an archive (licences, programs) are passed over.
    Keys of objects count as text, because some sets write answers there.

    Raises:
        DataError: a path matches nothing, or a file cannot be read; the message names `field` and file.
    """
    for number, path in enumerate(paths):
        found: dict[str, int] = {}
        for file, member, item, value in read_records(path, f"{field}[{number}]"):
            found.setdefault(file, 0)
            for text in _strings(value):
                found[file] += 1
                yield EvaluationText(member, item, text)
        for file, texts in found.items():
            if not texts:
                raise _empty(f"{field}[{number}]", file)


def read_records(path: str, field: str) -> Iterator[tuple[str, str, str, Any]]:
    """Every item of the files that `path` means, with the file, its name relative to `path` and the item's id or number.

    Raises:
        DataError: the path matches nothing, or a file cannot be read or holds nothing; the message names `field` and file.
    """
    for file, name in expand(path, field):
        try:
            found = 0
            for member, content in _members(file, name):
                for item, value in _items(member, content):
                    found += 1
                    yield str(file), member, item, value
        except (UnreadableError, tarfile.TarError, zipfile.BadZipFile, ValueError, csv.Error) as error:
            raise DataError(f"{field}: {file}: cannot be read as evaluation items: {error}") from error
        if not found:
            raise _empty(field, str(file))


def _empty(field: str, file: str) -> DataError:
    return DataError(f"{field}: {file}: holds no text of an evaluation item; remove it from the field")


def _members(path: Location, name: str) -> Iterator[tuple[str, bytes]]:
    plain = _without_compression(name)
    if plain.endswith((".tar", ".tgz")):
        with open_stored(path)[0] as stored, tarfile.open(fileobj=stored) as archive:
            for member in archive:
                file = archive.extractfile(member) if _is_read(member.name) else None
                if file:
                    yield f"{name}/{member.name}", file.read()
    elif plain.endswith(".zip"):
        with open_stored(path)[0] as stored, zipfile.ZipFile(stored) as archive:
            for member in sorted(archive.namelist()):
                if _is_read(member):
                    yield f"{name}/{member}", archive.read(member)
    elif plain.endswith(READ):
        with open_bytes(path) as file:
            yield name, file.read()
    else:
        raise ValueError(f"its kind is not known by its name; {', '.join(READ)}, tar and zip are")


def _is_read(member: str) -> bool:
    return member.endswith(READ) and not PurePosixPath(member).name.startswith(".")


def _without_compression(name: str) -> str:
    return name[: name.rindex(".")] if name.endswith(COMPRESSED) else name


def _items(name: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """The items of one file with their ids."""
    text = content.decode("utf-8-sig")
    kind = PurePosixPath(_without_compression(name)).suffix
    if kind == ".json":
        values: Iterable[Any] = _listed(json.loads(text))
    elif kind == ".jsonl":
        values = (json.loads(line) for line in text.split("\n") if line.strip())
    elif kind == ".txt":
        values = text.splitlines()
    else:
        values = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",")
    for number, value in enumerate(values, 1):
        named = next((value[key] for key in IDENTIFIERS if value.get(key)), None) if isinstance(value, dict) else None
        yield str(named or number), value


def _listed(value: Any) -> list[Any]:
    """The list of items in a JSON document: itself, the first list of objects in it, or the whole as one item."""
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
        return lists[0] if lists else [value]
    return value if isinstance(value, list) else [value]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
