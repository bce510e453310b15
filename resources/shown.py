"""Figures, tables and pictures as Dagster's pages show them: bounded, because its database keeps them for ever."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from lifecycle.plots import PICTURES, pictures_of

FACT_CHARACTERS = 4000
JSON_CHARACTERS = 20_000
PICTURE_BYTES = 150_000
ROWS, COLUMNS = 40, 12
"""The most that a list or a mapping may have to be shown as a table."""
SAMPLE_CHARACTERS = 160
DIGITS = 6


def shown(value: Any) -> dg.MetadataValue:
    """A fact of a manifest: numbers as numbers (Dagster draws them over time), what fits into a table as one."""
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(float(f"{value:.{DIGITS}g}"))
    if isinstance(value, str):
        return dg.MetadataValue.md(value[:FACT_CHARACTERS]) if "\n" in value else dg.MetadataValue.text(value)
    if value is None or value in ([], {}):
        return dg.MetadataValue.text("none")
    rows = _rows(value)
    if rows:
        return table(rows)
    if isinstance(value, list) and all(map(_is_plain, value)):
        return dg.MetadataValue.text(", ".join(map(cell, value))[:FACT_CHARACTERS])
    size = len(json.dumps(value, ensure_ascii=False))
    if size > JSON_CHARACTERS:
        return dg.MetadataValue.text(f"{size:,} characters: see `facts` in the artifact's manifest.json")
    return dg.MetadataValue.json(value)


def _rows(value: list[Any] | dict[str, Any]) -> list[dict[str, Any]]:
    """A list of mappings, a mapping, or a mapping of mappings as rows of one table; none where it is no table."""
    if isinstance(value, list):
        rows = value if all(isinstance(each, dict) for each in value) else []
    elif all(isinstance(each, dict) for each in value.values()):
        rows = [{"name": name, **each} for name, each in value.items()]
    else:
        rows = [{"figure": name, "value": each} for name, each in value.items()]
    names = dict.fromkeys(name for row in rows for name in row)
    plain = all(_is_plain(each) or _is_flat(each) for row in rows for each in row.values())
    return [{name: row.get(name) for name in names} for row in rows] if plain and len(names) <= COLUMNS else []


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= COLUMNS and all(map(_is_plain, value.values()))


def table(rows: Sequence[Mapping[str, Any]], limit: int = ROWS) -> dg.MetadataValue:
    """A table of at most `limit` rows, and how many there are beyond."""
    if not rows:
        return dg.MetadataValue.text("none")
    columns = [dg.TableColumn(name, "int" if isinstance(value, int) else "string") for name, value in rows[0].items()]
    records = [dg.TableRecord({key: cell(value) for key, value in row.items()}) for row in rows[:limit]]
    if len(rows) > len(records):
        more = f"and {len(rows) - len(records)} more"
        records.append(dg.TableRecord({column.name: more if place == 0 else "" for place, column in enumerate(columns)}))
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def cell(value: Any) -> str:
    """A plain value, or a mapping of such, in a table."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {cell(each)}" for name, each in value.items()) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{DIGITS}g}"
    return "–" if value is None else str(value)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> dg.MetadataValue:
    """A table of strangers' text: escaped, each cell cut."""
    from lifecycle.pages import markdown_cell

    lines = [f"| {' | '.join(markdown_cell(each, SAMPLE_CHARACTERS) for each in row)} |" for row in rows]
    if not lines:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.md("\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines]))


def pictures(directory: Path) -> dict[str, dg.MetadataValue]:
    """The plots below `directory`."""
    return {f"plot: {path.stem.replace('_', ' ')}": _picture(path) for path in pictures_of(directory)}


def _picture(path: Path) -> dg.MetadataValue:
    content = path.read_bytes()
    if len(content) > PICTURE_BYTES:
        return dg.MetadataValue.path(str(path))
    data = base64.b64encode(content).decode("ascii")
    return dg.MetadataValue.md(f"![{path.stem}](data:{PICTURES[path.suffix]};base64,{data})")
