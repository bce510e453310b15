"""The drop ledger: every document (or conversation, or pair) is kept, or dropped under exactly one named rule."""

import zlib
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lifecycle.errors import DataError
from lifecycle.recipe.base import Section

SAMPLES_PER_RULE = 5
EXCERPT_CHARACTERS = 300
EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS
"""So many bytes of UTF-8 hold an excerpt."""


class LedgerSample(Section):
    """One document that a rule dropped or changed."""

    id: str
    before: str
    after: str | None = None


class SourceLedger(Section):
    """The account of one source in one stage, in documents and in characters; both are enforced on construction:

    `read = kept + sum(dropped)`, `characters_read = characters_kept + sum(dropped_characters) + sum(removed_characters)`.
    """

    source: str
    read: int
    kept: int
    dropped: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, int] = Field(default_factory=dict)
    """Documents that a rule rewrote; these are not drops, and some of them were dropped afterwards."""
    characters_read: int = 0
    characters_kept: int = 0
    dropped_characters: dict[str, int] = Field(default_factory=dict)
    """Characters of the documents that each rule dropped, as these documents were then."""
    removed_characters: dict[str, int] = Field(default_factory=dict)
    """Characters that each rule which rewrites took out of documents; negative where it put some in."""
    lengths_read: dict[int, int] = Field(default_factory=dict)
    """Documents by length in characters, under the least length of their bin (`length_bin`)."""
    lengths_kept: dict[int, int] = Field(default_factory=dict)
    languages: dict[str, int] = Field(default_factory=dict)
    """Kept documents by language, where the stage knows it."""
    samples: dict[str, tuple[LedgerSample, ...]] = Field(default_factory=dict)
    """Documents by rule, drawn by a hash of their ids: the same whatever the order or the number of shards."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """Further counts worth showing: encodings chosen, sides of the split."""

    @model_validator(mode="after")
    def _balances(self) -> "SourceLedger":
        if self.read != self.kept + sum(self.dropped.values()):
            raise ValueError(f"ledger of {self.source}: read {self.read} != kept {self.kept} + dropped {self.dropped}")
        dropped, removed = sum(self.dropped_characters.values()), sum(self.removed_characters.values())
        if self.characters_read != self.characters_kept + dropped + removed:
            raise ValueError(
                f"ledger of {self.source}: {self.characters_read} characters read != {self.characters_kept} kept "
                f"+ {dropped} dropped {self.dropped_characters} + {removed} removed {self.removed_characters}"
            )
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
    """Counts documents of one source as they pass; `close` checks the identities."""

    source: str
    read: int = 0
    kept: int = 0
    characters_read: int = 0
    characters_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    dropped_characters: Counter[str] = field(default_factory=Counter)
    removed_characters: Counter[str] = field(default_factory=Counter)
    lengths_read: Counter[int] = field(default_factory=Counter)
    lengths_kept: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[tuple[int, str], LedgerSample]]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def keep(self, text: str, before: str | None = None, language: str | None = None) -> None:
        """A document was read and goes on; `before` is its text as read, where it was changed."""
        self._read(len(text if before is None else before))
        self.kept += 1
        self.characters_kept += len(text)
        self.lengths_kept[length_bin(len(text))] += 1
        if language is not None:
            self.languages[language] += 1

    def keep_all(self, read: NDArray[np.int64], kept: NDArray[np.int64], languages: Iterable[str | None]) -> None:
        """Documents of so many characters were read and go on with so many, each of shape (documents,)."""
        self.read += read.size
        self.characters_read += int(read.sum())
        self.kept += kept.size
        self.characters_kept += int(kept.sum())
        self.lengths_read.update(_by_bin(read))
        self.lengths_kept.update(_by_bin(kept))
        counts = Counter(languages).items()
        self.languages.update({language: count for language, count in counts if language is not None})

    def drop(self, rule: str, id: str, text: str, left: int | None = None, characters: int | None = None) -> None:
        """A document was read and ends here, under `rule`.

        Args:
            text: as it was read.
            left: its characters when it was dropped, where rules whose `change` was counted had rewritten it by then.
            characters: of the whole document, where `text` is only its beginning; needs `left`.
        """
        self._read(len(text) if characters is None else characters)
        self.dropped[rule] += 1
        self.dropped_characters[rule] += len(text) if left is None else left
        self.sample(rule, id, text)

    def change(self, rule: str, id: str, before: str, after: str, removed: int | None = None) -> None:
        """A rule rewrote a document; the document is counted by `keep` or `drop` as well.

        Args:
            before, after: both texts, or excerpts of them.
            removed: characters that the document lost; must be given with excerpts.
        """
        self.changed[rule] += 1
        self.removed_characters[rule] += len(before) - len(after) if removed is None else removed
        self.sample(rule, id, before, after)

    def wants(self, rule: str, id: str) -> bool:
        """Whether a sample of this document would be held now."""
        held = self.samples.get(rule, [])
        return len(held) < SAMPLES_PER_RULE or _draw(id) < held[-1][0]

    def sample(self, rule: str, id: str, before: str, after: str | None = None) -> None:
        """A document worth showing under `rule`; of all of them those with the smallest hashes of their ids stay."""
        if self.wants(rule, id):
            place, held = _draw(id), self.samples.setdefault(rule, [])
            sample = LedgerSample(id=id, before=_excerpt(before), after=None if after is None else _excerpt(after))
            insort(held, (place, sample), key=lambda entry: entry[0])
            del held[SAMPLES_PER_RULE:]

    def _read(self, characters: int) -> None:
        self.read += 1
        self.characters_read += characters
        self.lengths_read[length_bin(characters)] += 1

    def close(self) -> SourceLedger:
        """The finished account; raises ValueError when it does not balance."""
        return SourceLedger(
            source=self.source,
            read=self.read,
            kept=self.kept,
            characters_read=self.characters_read,
            characters_kept=self.characters_kept,
            samples={rule: tuple(sample for _, sample in held) for rule, held in sorted(self.samples.items())},
            notes=self.notes,
            **{name: dict(sorted(getattr(self, name).items())) for name in (*TOTALS, *AT_THE_START, *AT_THE_END)},
        )


TOTALS = ("dropped", "changed", "dropped_characters", "removed_characters")
"""Counts that add up over consecutive stages …"""
AT_THE_START, AT_THE_END = ("lengths_read",), ("lengths_kept", "languages")
"""… and those that the first stage alone, or the last, has to say."""


def length_bin(characters: int) -> int:
    """The least length that shares a bin with this one: four bins to a doubling, each length up to 8 its own."""
    shift = max(0, characters.bit_length() - 3)
    return characters >> shift << shift


def _by_bin(lengths: NDArray[np.int64]) -> Counter[int]:
    """How many lengths each `length_bin` has."""
    shifts = np.maximum(np.frexp(lengths)[1] - 3, 0)
    return Counter((lengths >> shifts << shifts).tolist())


def _draw(id: str) -> tuple[int, str]:
    """Sorts documents in an order that depends on nothing but their ids, and looks like chance."""
    return zlib.crc32(id.encode("utf-8", "surrogatepass")), id


def _excerpt(text: str) -> str:
    """The beginning of `text`, with lone surrogates replaced: damaged text is sampled too, and JSON cannot hold them."""
    return text[:EXCERPT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def merge(parts: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source whose shards were counted apart.

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
        characters_read=sum(part.characters_read for part in parts),
        characters_kept=sum(part.characters_kept for part in parts),
        samples=_samples(parts),
        notes=notes,
        **{name: _total(getattr(part, name) for part in parts) for name in (*TOTALS, *AT_THE_START, *AT_THE_END)},
    )


def chain(stages: Iterable[SourceLedger]) -> SourceLedger:
    """The account of one source through consecutive stages: what the first read against what the last kept.

    Where two stages made a note of the same name, the later one's stands.

    Raises:
        ValueError: there are no stages, they belong to several sources, or a stage did not read exactly what the one
            before it kept, in documents and in characters.
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
        characters_read=stages[0].characters_read,
        characters_kept=stages[-1].characters_kept,
        samples=_samples(stages),
        notes={key: value for stage in stages for key, value in stage.notes.items()},
        **{name: _total(getattr(stage, name) for stage in stages) for name in TOTALS},
        **{name: getattr(stages[0], name) for name in AT_THE_START},
        **{name: getattr(stages[-1], name) for name in AT_THE_END},
    )


def _one_source(parts: Sequence[SourceLedger]) -> str:
    names = sorted({part.source for part in parts})
    if len(names) != 1:
        raise ValueError(f"one account is of exactly one source, these are of {names}")
    return names[0]


def _total(counts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _samples(parts: Sequence[SourceLedger]) -> dict[str, tuple[LedgerSample, ...]]:
    samples: dict[str, list[LedgerSample]] = {}
    for part in parts:
        for rule, entries in part.samples.items():
            samples.setdefault(rule, []).extend(entries)
    drawn = {rule: sorted(entries, key=lambda sample: _draw(sample.id)) for rule, entries in sorted(samples.items())}
    return {rule: tuple(entries[:SAMPLES_PER_RULE]) for rule, entries in drawn.items()}


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
