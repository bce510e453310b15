"""The drop ledger: every document (or conversation, or pair) is kept, or dropped under exactly one named rule."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lifecycle.recipe.base import Section

SAMPLES_PER_RULE = 5
EXCERPT_CHARACTERS = 300


class LedgerSample(Section):
    """One document that a rule dropped or changed."""

    id: str
    before: str
    after: str | None = None


class SourceLedger(Section):
    """The account of one source in one stage: `read = kept + sum(dropped)`, enforced on construction."""

    source: str
    read: int
    kept: int
    dropped: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, int] = Field(default_factory=dict)
    """Documents that a rule rewrote and that went on; these are not drops."""
    characters_read: int = 0
    characters_kept: int = 0
    samples: dict[str, tuple[LedgerSample, ...]] = Field(default_factory=dict)
    notes: dict[str, Any] = Field(default_factory=dict)
    """Further counts worth showing: encodings chosen, languages seen."""

    @model_validator(mode="after")
    def _balances(self) -> "SourceLedger":
        if self.read != self.kept + sum(self.dropped.values()):
            raise ValueError(f"ledger of {self.source}: read {self.read} != kept {self.kept} + dropped {self.dropped}")
        return self


class Ledger(Section):
    """The ledgers of all sources of one stage, stored as `ledger.json` in its artifact."""

    sources: tuple[SourceLedger, ...]

    def write(self, directory: Path) -> None:
        """Write `ledger.json` into `directory`."""
        (directory / "ledger.json").write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> "Ledger":
        """The ledger in `directory`."""
        return cls.model_validate_json((directory / "ledger.json").read_text(encoding="utf-8"))


@dataclass
class LedgerWriter:
    """Counts documents of one source as they pass; `close` checks the identity."""

    source: str
    read: int = 0
    kept: int = 0
    characters_read: int = 0
    characters_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[LedgerSample]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def keep(self, text: str, before: str | None = None) -> None:
        """A document was read and goes on; `before` is its text as read, where it was changed."""
        self.read += 1
        self.kept += 1
        self.characters_read += len(text if before is None else before)
        self.characters_kept += len(text)

    def drop(self, rule: str, id: str, text: str) -> None:
        """A document was read and ends here, under `rule`."""
        self.read += 1
        self.characters_read += len(text)
        self.dropped[rule] += 1
        self._sample(rule, LedgerSample(id=id, before=text[:EXCERPT_CHARACTERS]))

    def change(self, rule: str, id: str, before: str, after: str) -> None:
        """A rule rewrote a document; the document is counted by `keep` or `drop` as well."""
        self.changed[rule] += 1
        self._sample(rule, LedgerSample(id=id, before=before[:EXCERPT_CHARACTERS], after=after[:EXCERPT_CHARACTERS]))

    def _sample(self, rule: str, sample: LedgerSample) -> None:
        samples = self.samples.setdefault(rule, [])
        if len(samples) < SAMPLES_PER_RULE:
            samples.append(sample)

    def close(self) -> SourceLedger:
        """The finished account; raises ValueError when it does not balance."""
        return SourceLedger(
            source=self.source,
            read=self.read,
            kept=self.kept,
            dropped=dict(sorted(self.dropped.items())),
            changed=dict(sorted(self.changed.items())),
            characters_read=self.characters_read,
            characters_kept=self.characters_kept,
            samples={rule: tuple(samples) for rule, samples in sorted(self.samples.items())},
            notes=self.notes,
        )


def merge(parts: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source whose shards were counted apart; samples are taken in the order of the parts."""
    parts = list(parts)
    dropped: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    samples: dict[str, list[LedgerSample]] = {}
    for part in parts:
        dropped.update(part.dropped)
        changed.update(part.changed)
        for rule, entries in part.samples.items():
            samples.setdefault(rule, []).extend(entries)
    return SourceLedger(
        source=parts[0].source,
        read=sum(part.read for part in parts),
        kept=sum(part.kept for part in parts),
        dropped=dict(sorted(dropped.items())),
        changed=dict(sorted(changed.items())),
        characters_read=sum(part.characters_read for part in parts),
        characters_kept=sum(part.characters_kept for part in parts),
        samples={rule: tuple(entries[:SAMPLES_PER_RULE]) for rule, entries in sorted(samples.items())},
        notes={key: value for part in parts for key, value in part.notes.items()},
    )


def chain(stages: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source through consecutive stages: what the first read against what the last kept.

    Raises:
        ValueError: a stage did not read exactly what the one before it kept.
    """
    stages = list(stages)
    for earlier, later in zip(stages, stages[1:], strict=False):
        if later.read != earlier.kept:
            raise ValueError(f"{later.source}: a stage read {later.read} documents where {earlier.kept} were kept before it")
    merged = merge(part.model_copy(update={"read": 0, "kept": 0, "dropped": {}, "changed": part.changed}) for part in stages)
    dropped: Counter[str] = Counter()
    for part in stages:
        dropped.update(part.dropped)
    return merged.model_copy(
        update={
            "read": stages[0].read,
            "kept": stages[-1].kept,
            "dropped": dict(sorted(dropped.items())),
            "characters_read": stages[0].characters_read,
            "characters_kept": stages[-1].characters_kept,
        }
    )
