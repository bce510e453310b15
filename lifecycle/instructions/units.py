"""Rows that go through a model unit by unit, each kept, so that a killed run goes on where it was."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lifecycle.results import result
from lifecycle.training.journal import Journal

UNIT = 256
"""Conversations that are kept together."""
BAR = 20

Row = TypeVar("Row")


def through_units(
    rows: Sequence[Row],
    cache: Path,
    key: Callable[[Sequence[Row]], str],
    make: Callable[[Sequence[Row], Path], None],
    tokens: Callable[[Row], int],
    journal: Journal,
    done: str,
) -> tuple[list[Path], dict[str, Any]]:
    """The directory of each unit of `UNIT` rows in order, and figures: units, those that were there, tokens per second.

    Args:
        key: of all that decides what `make` gives.
        make: writes what a unit gives into a directory.
        done: what has happened to a conversation then, for the journal.
    """
    units = [rows[begin : begin + UNIT] for begin in range(0, len(rows), UNIT)]
    entries, read, reused, began = [], 0, 0, time.monotonic()
    for number, unit in enumerate(units, start=1):
        entry, was_there = result(cache, key(unit), partial(make, unit))
        entries.append(entry)
        reused += was_there
        read += 0 if was_there else sum(map(tokens, unit))
        rate = read / max(time.monotonic() - began, 1e-9)
        journal.message(_progress(number / len(units), min(number * UNIT, len(rows)), len(rows), done, rate))
    facts = {"units": len(units), "units_reused": reused}
    return entries, facts | ({"tokens_per_second": round(read / (time.monotonic() - began), 1)} if read else {})


def _progress(share: float, count: int, total: int, done: str, rate: float) -> str:
    bar = "█" * round(BAR * share) + "·" * (BAR - round(BAR * share))
    return f"{bar} {count:,} of {total:,} conversations {done}" + (f", {rate:,.0f} tokens/s" if rate else " before")
