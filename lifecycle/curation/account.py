"""The account of every source over the whole way from its bytes to the corpus."""

from pathlib import Path

from lifecycle.ledger import Ledger, SourceLedger, chain


def account(raw: dict[str, Path], cleaned: dict[str, Path], corpus: Path) -> dict[str, SourceLedger]:
    """Per source: what was read from its files against what is in the corpus (training and held-out text).

    Raises:
        ValueError: a stage did not read exactly what the one before it kept.
    """
    final = {entry.source: entry for entry in Ledger.read(corpus).sources}
    return {
        name: chain([Ledger.read(raw[name]).sources[0], Ledger.read(cleaned[name]).sources[0], final[name]]) for name in raw
    }
