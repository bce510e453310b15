"""The account of every source over the whole way from its bytes to the corpus."""

from collections.abc import Mapping
from pathlib import Path

from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, SourceLedger, chain


def account(raw: Mapping[str, Path], cleaned: Mapping[str, Path], corpus: Path) -> dict[str, SourceLedger]:
    """Per source: what was read from its files against what is in the corpus (training and held-out text).

    Raises:
        DataError: a ledger is missing or damaged, or does not speak of a source.
        ValueError: a stage did not read exactly what the one before it kept.
    """
    return {name: chain([_of(raw[name], name), _of(cleaned[name], name), _of(corpus, name)]) for name in raw}


def _of(directory: Path, name: str) -> SourceLedger:
    for entry in Ledger.read(directory).sources:
        if entry.source == name:
            return entry
    raise DataError(f"{directory / 'ledger.json'}: no account of source {name!r}")
