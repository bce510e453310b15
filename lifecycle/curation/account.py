"""The account of every source over the whole way from its bytes to the corpus."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.errors import DataError
from lifecycle.ledger import Ledger, SourceLedger, chain

STAGES = ("raw_corpora", "cleaned_corpora", "corpus")


@dataclass(frozen=True)
class Way:
    """One source's ledgers, by stage in the order of `STAGES`, and the account over all of them."""

    stages: Mapping[str, SourceLedger]
    total: SourceLedger

    @property
    def heldout(self) -> int:
        """Documents set aside for evaluation; the others that were kept are trained on."""
        return self.total.notes["split"]["heldout"]

    @property
    def train(self) -> int:
        """Documents to train on."""
        return self.total.notes["split"]["train"]


def ways(raw: Mapping[str, Path], cleaned: Mapping[str, Path], corpus: Path) -> dict[str, Way]:
    """Per source: what was read from its files against what is in the corpus (training and held-out text).

    Args:
        raw, cleaned: directories of the stages' artifacts, by source.
        corpus: directory of the corpus.

    Raises:
        DataError: a ledger is missing or damaged, or does not speak of a source.
        ValueError: a stage did not read exactly what the one before it kept.
    """
    last = _by_source(corpus)
    found = {}
    for name in raw:
        stages = [_of(_by_source(raw[name]), name, raw[name]), _of(_by_source(cleaned[name]), name, cleaned[name])]
        stages.append(_of(last, name, corpus))
        found[name] = Way(dict(zip(STAGES, stages, strict=True)), chain(stages))
    return found


def _by_source(directory: Path) -> dict[str, SourceLedger]:
    return {entry.source: entry for entry in Ledger.read(directory).sources}


def _of(ledgers: Mapping[str, SourceLedger], name: str, directory: Path) -> SourceLedger:
    if name not in ledgers:
        raise DataError(f"{directory / 'ledger.json'}: no account of source {name!r}")
    return ledgers[name]
