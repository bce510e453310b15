"""Records of JSON, JSON lines and CSV files, compressed or in archives, each file read in the format that its rows have."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

import orjson

from lifecycle.corpora.csv_files import csv_rows
from lifecycle.corpora.encodings import ESCAPED, decode
from lifecycle.corpora.json_files import json_value
from lifecycle.corpora.jsonl import lines
from lifecycle.corpora.opening import DECOMPRESSORS, UnreadableError, read_whole, rule_of
from lifecycle.corpora.parts import Part, parts
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes
from lifecycle.errors import DataError
from lifecycle.ledger import LedgerWriter
from lifecycle.recipe.corpora import FileSource
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.preference_files import PreferenceFiles

Parsed = TypeVar("Parsed")
FIRST_ROWS = 20
"""Rows of each file that decide its format."""
UNKNOWN = "unknown_format"


class DoesNotFitError(ValueError):
    """A record that is not what its format promises; `rule` is the ledger rule that it is counted under."""

    def __init__(self, rule: str, message: str, sound: bool = False) -> None:
        super().__init__(message)
        self.rule = rule
        self.sound = sound
        """Whether it is what its format promises, and says nothing all the same: not held against the tolerance."""


@dataclass(frozen=True)
class Format(Generic[Parsed]):
    """One way in which public sets are written."""

    name: str
    fits: Callable[[Any], bool]
    """Whether a record has this format's fields; says nothing of what they hold."""
    read: Callable[[Any], Parsed]
    """Raises DoesNotFitError where the fields hold something else."""


@dataclass(frozen=True)
class Row:
    """One record and its place: `file:line`, or `file:number` in an array."""

    place: str
    value: Any


def read_rows(
    config: InstructionFiles | PreferenceFiles, formats: Sequence[Format[Parsed]], section: str, ledger: LedgerWriter
) -> Iterator[tuple[str, Parsed]]:
    """Place and content of every record that fits, in the order of the files; the others are dropped in `ledger`.

    The format of a file is that of `config`, else the one that most of its first rows have. `ledger.notes` counts records
    by format, and files by encoding.

    Raises:
        DataError: the path matches nothing, there is no record, or more records are damaged or do not fit than the
            tolerance allows; the message names the first of them by file and line.
    """
    # What the readers of corpora ask of a source: where it lies, what language its bytes may be in, how large it may be.
    source = FileSource(
        name=config.name,
        licence=config.licence,
        path=config.path,
        members=config.members,
        language=getattr(config, "language", None) or "en",
    )
    notes, used = Notes(), dict.fromkeys((each.name for each in formats), 0)
    problems: list[str] = []

    def count(place: str, rule: str, problem: str, raw: str, damaged: bool = True) -> None:
        if damaged:
            problems.append(f"{place}: {problem}")
        ledger.drop(rule, place, f"{problem}\n{raw}", left=len(raw), characters=len(raw))

    for rows in _files(source, notes, formats):
        first = list(islice(rows, FIRST_ROWS))
        chosen = _format(config.format, [row.value for row in first if isinstance(row, Row)], formats)
        for row in chain(first, rows):
            if isinstance(row, Damage):
                count(row.locator, row.rule, row.rule.replace("_", " "), row.excerpt)
                continue
            if chosen is None or not chosen.fits(row.value):
                wanted = formats if chosen is None else [chosen]
                count(row.place, UNKNOWN, _unknown(row.value, wanted), _shown(row.value))
                continue
            try:
                parsed = chosen.read(row.value)
            except DoesNotFitError as error:
                count(row.place, error.rule, f"{chosen.name}: {error}", _shown(row.value), not error.sound)
                continue
            used[chosen.name] += 1
            yield row.place, parsed
    ledger.notes["formats"] = {name: number for name, number in used.items() if number}
    ledger.notes["encodings"] = dict(sorted(notes.encodings.items()))
    if not ledger.read:
        raise DataError(f"{section}.sources: {config.name}: {config.path} holds no record")
    if not any(used.values()) and not problems:
        dropped = dict(ledger.dropped)
        raise DataError(f"{section}.sources: {config.name}: none of {ledger.read} records can be used: {dropped}")
    if len(problems) > config.tolerance * ledger.read:
        raise DataError(
            f"{section}.sources: {config.name}: {len(problems)} of {ledger.read} records cannot be used, more than the "
            f"tolerance of {config.tolerance:.1%}; the first: {problems[0]}"
        )


def _format(name: str | None, values: Sequence[Any], formats: Sequence[Format[Parsed]]) -> Format[Parsed] | None:
    if name is not None:
        return next(each for each in formats if each.name == name)
    best = max(formats, key=lambda each: sum(map(each.fits, values)))
    return best if any(map(best.fits, values)) else None


def _unknown(value: Any, formats: Sequence[Format[Parsed]]) -> str:
    has = f"the fields {', '.join(map(str, value))[:MAX_EXCERPT]}" if isinstance(value, dict) else type(value).__name__
    return f"{has} fit no format of {', '.join(each.name for each in formats)}"


def _shown(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def _files(source: FileSource, notes: Notes, formats: Sequence[Format[Parsed]]) -> Iterator[Iterator[Row | Damage]]:
    """The rows of each file or archive member."""
    for part in parts(source, notes):
        if isinstance(part, Damage):
            yield iter([part])
            continue
        suffix = _suffix(part.name)
        if suffix in (".jsonl", ".ndjson"):
            yield _json_lines(lines(part, source.max_megabytes << 20))
        else:
            yield _whole(source, part, suffix, notes, formats)


def _suffix(name: str) -> str:
    path = PurePosixPath(name.lower())
    return (path.with_suffix("") if path.suffix in DECOMPRESSORS else path).suffix


def _whole(
    source: FileSource, part: Part, suffix: str, notes: Notes, formats: Sequence[Format[Parsed]]
) -> Iterator[Row | Damage]:
    try:
        with part.open() as file:
            data = read_whole(file, source.max_megabytes << 20)
    except UnreadableError as error:
        yield Damage(rule_of(error, "unreadable_file"), part.name, str(error))
        return
    decoded = decode(data, source.language)
    if decoded is None:
        yield Damage("undecodable_file", part.name, repr(data[:MAX_EXCERPT]))
        return
    text, encoding = decoded
    notes.encodings[encoding] += 1
    if suffix in (".csv", ".tsv"):
        yield from _csv(part.name, text, "\t" if suffix == ".tsv" else ",")
    elif text.strip():
        yield from _json(part.name, text, formats)


def _csv(name: str, text: str, delimiter: str) -> Iterator[Row | Damage]:
    columns: list[str] | None = None
    for line, row in csv_rows(text, delimiter):
        place = f"{name}:{line}"
        if not isinstance(row, list):
            yield Damage("invalid_csv", place, str(row))
        elif columns is None:
            columns = [column.strip() for column in row]
        elif len(row) != len(columns):
            yield Damage("wrong_field_count", place, f"{len(row)} fields, not {len(columns)}: {row}"[:MAX_EXCERPT])
        elif any(ESCAPED.search(cell) for cell in row):
            yield Damage("invalid_bytes", place, str(row)[:MAX_EXCERPT])
        else:
            yield Row(place, dict(zip(columns, row, strict=True)))


def _json(name: str, text: str, formats: Sequence[Format[Parsed]]) -> Iterator[Row | Damage]:
    """The records of a JSON file: an array, an object of arrays (splits), one record, or, whatever its name, JSON lines."""
    try:
        value = json_value(text)
    except orjson.JSONDecodeError as error:
        data = text.encode("utf-8", "surrogatepass")
        first = data.lstrip().split(b"\n", 1)[0]
        if not _is_json(first):
            shown = text[max(0, error.pos - 40) :][:MAX_EXCERPT]
            yield Damage("invalid_json", f"{name}:{error.lineno}", f"{error.msg}: {shown}")
        else:
            numbered = enumerate(data.split(b"\n"), start=1)
            yield from _json_lines((f"{name}:{number}", line) for number, line in numbered if line.strip())
        return
    if isinstance(value, list):
        yield from (_checked(f"{name}:{number}", each) for number, each in enumerate(value, start=1))
    elif _is_splits(value) and not any(each.fits(value) for each in formats):
        for split, records in value.items():
            yield from (_checked(f"{name}:{split}:{number}", each) for number, each in enumerate(records, start=1))
    else:
        yield _checked(f"{name}:1", value)


def _checked(place: str, value: Any) -> Row | Damage:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:  # half of a surrogate pair, which UTF-8 cannot hold
        return Damage("invalid_json", place, json.dumps(value)[:MAX_EXCERPT])
    return Row(place, value)


def _is_splits(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(each, list) for each in value.values())


def _json_lines(found: Iterable[tuple[str, bytes] | Damage]) -> Iterator[Row | Damage]:
    for line in found:
        if isinstance(line, Damage):
            yield line
            continue
        place, content = line
        try:
            yield Row(place, orjson.loads(content))
        except orjson.JSONDecodeError:
            yield Damage("invalid_json", place, content[:MAX_EXCERPT].decode("utf-8", "replace"))


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True
