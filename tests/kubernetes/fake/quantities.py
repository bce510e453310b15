"""Quantities and completion indexes: how Kubernetes writes numbers."""

import re
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

FORM = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
"""The server's own; the client's parser takes a blank before the suffix."""


def quantity(value: str | int | float) -> Decimal:
    """The number that a quantity means.

    Raises:
        ValueError: it is not a quantity, with the server's message.
    """
    try:
        if not re.fullmatch(FORM, str(value)):
            raise ValueError
        return parse_quantity(str(value))
    except ValueError:
        raise ValueError(f"quantities must match the regular expression '{FORM}'") from None


def write_quantity(value: Decimal) -> str:
    """The number as a quantity: whole, or in thousandths."""
    return str(int(value)) if value == value.to_integral_value() else f"{int(value * 1000)}m"


def read_indexes(text: str) -> set[int]:
    """The completion indexes of `0,2-4`."""
    result: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        result |= set(range(int(first), int(last or first) + 1))
    return result


def write_indexes(indexes: set[int]) -> str:
    """`0,2-4`: runs of three or more are shortened, two neighbours are not."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
