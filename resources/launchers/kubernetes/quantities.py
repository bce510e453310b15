"""Amounts as Kubernetes writes them."""

import re
from decimal import Decimal

SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{name: Decimal(1000) ** power for power, name in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{name: Decimal(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}


def amount(text: str) -> Decimal:
    """The number that a quantity such as `500m` or `64Gi` stands for; raises ValueError for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", text)
    if not found or found[2] not in SUFFIXES:
        raise ValueError(f"{text!r} is not a Kubernetes quantity")
    return Decimal(found[1]) * SUFFIXES[found[2]]
