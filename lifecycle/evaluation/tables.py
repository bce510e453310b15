"""A table of the report, in text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """What a page renders as it is."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
