"""The drop ledger: every document (or conversation, or pair) is kept, or dropped under exactly one named rule."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lifecycle.errors import DataError
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
        """The ledger in `directory`; raises DataError when it is missing, damaged or does not balance."""
        path = directory / "ledger.json"
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable ledger: {error}") from error


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

    def keep_all(self, documents: int, characters_read: int, characters_kept: int) -> None:
        """Some documents were read and go on."""
        self.read += documents
        self.kept += documents
        self.characters_read += characters_read
        self.characters_kept += characters_kept

    def wants(self, rule: str) -> bool:
        """Whether a sample of this rule would be kept."""
        return len(self.samples.get(rule, ())) < SAMPLES_PER_RULE

    def drop(self, rule: str, id: str, text: str, characters: int | None = None) -> None:
        """A document was read and ends here, under `rule`; `characters` where `text` is only its beginning."""
        self.read += 1
        self.characters_read += len(text) if characters is None else characters
        self.dropped[rule] += 1
        self._sample(rule, LedgerSample(id=id, before=_excerpt(text)))

    def change(self, rule: str, id: str, before: str, after: str) -> None:
        """A rule rewrote a document; the document is counted by `keep` or `drop` as well."""
        self.changed[rule] += 1
        self._sample(rule, LedgerSample(id=id, before=_excerpt(before), after=_excerpt(after)))

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


def _excerpt(text: str) -> str:
    """The beginning of `text`, with lone surrogates replaced: damaged text is sampled too, and JSON cannot hold them."""
    return text[:EXCERPT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def merge(parts: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source whose shards were counted apart; samples are taken in the order of the parts.

    Notes are added up: numbers and counts by name are summed, lists are joined, other values must agree.

    Raises:
        ValueError: there are no parts, they belong to several sources, or a note differs that cannot be added.
    """
    parts = list(parts)
    notes: dict[str, Any] = {}
    for part in parts:
        notes = _add_notes(notes, part.notes)
    return SourceLedger(
        source=_one_source(parts),
        read=sum(part.read for part in parts),
        kept=sum(part.kept for part in parts),
        dropped=_total(part.dropped for part in parts),
        changed=_total(part.changed for part in parts),
        characters_read=sum(part.characters_read for part in parts),
        characters_kept=sum(part.characters_kept for part in parts),
        samples=_samples(parts),
        notes=notes,
    )


def chain(stages: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source through consecutive stages: what the first read against what the last kept.

    Where two stages made a note of the same name, the later one's stands.

    Raises:
        ValueError: there are no stages, they belong to several sources, or a stage did not read exactly what the one
            before it kept.
    """
    stages = list(stages)
    source = _one_source(stages)
    for earlier, later in pairwise(stages):
        if later.read != earlier.kept:
            raise ValueError(f"{source}: a stage read {later.read} documents where {earlier.kept} were kept before it")
    return SourceLedger(
        source=source,
        read=stages[0].read,
        kept=stages[-1].kept,
        dropped=_total(stage.dropped for stage in stages),
        changed=_total(stage.changed for stage in stages),
        characters_read=stages[0].characters_read,
        characters_kept=stages[-1].characters_kept,
        samples=_samples(stages),
        notes={key: value for stage in stages for key, value in stage.notes.items()},
    )


def _one_source(parts: Sequence[SourceLedger]) -> str:
    names = sorted({part.source for part in parts})
    if len(names) != 1:
        raise ValueError(f"one account is of exactly one source, these are of {names}")
    return names[0]


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _samples(parts: Sequence[SourceLedger]) -> dict[str, tuple[LedgerSample, ...]]:
    samples: dict[str, list[LedgerSample]] = {}
    for part in parts:
        for rule, entries in part.samples.items():
            samples.setdefault(rule, []).extend(entries)
    return {rule: tuple(entries[:SAMPLES_PER_RULE]) for rule, entries in sorted(samples.items())}


def _add_notes(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    return dict(left) | {key: _add(key, left[key], value) if key in left else value for key, value in right.items()}


def _add(key: str, left: Any, right: Any) -> Any:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return _add_notes(left, right)
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    if _is_number(left) and _is_number(right):
        return left + right
    if left != right:
        raise ValueError(f"note {key!r} is {left!r} in one part and {right!r} in another, and cannot be added")
    return left


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
