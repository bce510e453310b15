"""Every document is accounted for: read = kept + drops, in one stage, over shards, and through the stages."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.errors import DataError
from lifecycle.ledger import SAMPLES_PER_RULE, Ledger, LedgerWriter, SourceLedger, chain, length_bin, merge

fates = st.lists(st.sampled_from(["keep", "too short", "wrong language", "duplicate"]), max_size=60)
LENGTHS = st.integers(0, 40).map(lambda bits: (1 << bits) - 1) | st.integers(0, 10**12)


def _account(events: list[str], source: str = "s") -> SourceLedger:
    writer = LedgerWriter(source)
    for index, fate in enumerate(events):
        if fate == "keep":
            writer.keep("text" * index)
        else:
            writer.drop(fate, f"id{index}", "text" * index)
    return writer.close()


@given(fates)
def test_the_account_balances_whatever_happens(events: list[str]) -> None:
    ledger = _account(events)
    assert ledger.read == len(events) == ledger.kept + sum(ledger.dropped.values())
    assert ledger.characters_kept <= ledger.characters_read


def test_an_account_that_does_not_balance_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="read 5 != kept 3"):
        SourceLedger(source="s", read=5, kept=3, dropped={"short": 1})
    writer = LedgerWriter("s")
    writer.read += 1
    with pytest.raises(ValueError, match="ledger of s"):
        writer.close()


@given(st.lists(fates, min_size=1, max_size=5))
def test_shards_counted_apart_give_the_account_of_the_whole(shards: list[list[str]]) -> None:
    merged = merge(_account(events) for events in shards)
    whole = [fate for events in shards for fate in events]
    assert (merged.read, merged.kept) == (len(whole), whole.count("keep"))
    assert merged.dropped == {fate: whole.count(fate) for fate in sorted(set(whole) - {"keep"})}
    assert all(len(samples) <= SAMPLES_PER_RULE for samples in merged.samples.values())


@given(st.lists(fates, min_size=1, max_size=4))
def test_consecutive_stages_chain_from_the_first_read_to_the_last_kept(stages: list[list[str]]) -> None:
    ledgers: list[SourceLedger] = []
    texts = ["text" * index for index in range(len(stages[0]))]
    for events in stages:
        writer, left = LedgerWriter("s"), []
        for index, text in enumerate(texts):
            if index < len(events) and events[index] != "keep":
                writer.drop(events[index], str(index), text)
            else:
                writer.keep(text)
                left.append(text)
        ledgers.append(writer.close())
        texts = left
    total = chain(ledgers)
    assert (total.read, total.kept) == (ledgers[0].read, ledgers[-1].kept)
    assert total.read == total.kept + sum(total.dropped.values())


def test_documents_lost_between_two_stages_are_an_error() -> None:
    """A stage that skips a shard reads fewer than were kept; the chain must not hide it."""
    with pytest.raises(ValueError, match="read 1 documents where 2 were kept"):
        chain([_account(["keep", "keep"]), _account(["keep"])])


def test_accounts_of_different_sources_are_not_mixed() -> None:
    for join in (merge, chain):
        with pytest.raises(ValueError, match="'a', 'b'"):
            join([_account(["keep"], "a"), _account(["keep"], "b")])
        with pytest.raises(ValueError, match="exactly one source"):
            join([])


def test_notes_of_shards_are_added_up() -> None:
    """Taking the last shard's note would silently lose the counts of all others."""
    parts = [
        _account(["keep"]).model_copy(update={"notes": notes})
        for notes in (
            {"encodings": {"utf-8": 3}, "truncated": 1, "files": ["a"], "rule": "v1"},
            {"encodings": {"utf-8": 1, "gb18030": 2}, "truncated": 4, "files": ["b"], "rule": "v1"},
        )
    ]
    assert merge(parts).notes == {"encodings": {"utf-8": 4, "gb18030": 2}, "truncated": 5, "files": ["a", "b"], "rule": "v1"}
    with pytest.raises(ValueError, match="'rule' is 'v1' in one part and 'v2'"):
        merge([parts[0], parts[1].model_copy(update={"notes": {"rule": "v2"}})])


def test_a_change_is_no_drop() -> None:
    writer = LedgerWriter("s")
    writer.change("full-width", "1", "ａｂｃ!", "abc")
    writer.keep("abc", before="ａｂｃ!")
    ledger = writer.close()
    assert (ledger.read, ledger.kept, ledger.dropped, ledger.changed) == (1, 1, {}, {"full-width": 1})
    assert (ledger.characters_read, ledger.characters_kept, ledger.removed_characters) == (4, 3, {"full-width": 1})
    assert ledger.samples["full-width"][0].after == "abc"


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40), st.booleans()), max_size=20))
def test_characters_balance_through_changes_and_drops(documents: list[tuple[str, str, bool]]) -> None:
    """A document may grow or shrink before it is kept or dropped; no character is counted twice or lost."""
    writer = LedgerWriter("s")
    for number, (before, after, stays) in enumerate(documents):
        if before != after:
            writer.change("rewritten", str(number), before[:3], after[:3], removed=len(before) - len(after))
        if stays:
            writer.keep(after, before=before, language="en")
        else:
            writer.drop("bad", str(number), before, left=len(after))
    ledger = writer.close()
    assert ledger.characters_read == sum(len(before) for before, _, _ in documents)
    assert sum(ledger.dropped_characters.values()) == sum(len(after) for _, after, stays in documents if not stays)
    assert sum(ledger.lengths_read.values()) == ledger.read
    assert sum(ledger.lengths_kept.values()) == sum(ledger.languages.values()) == ledger.kept


def test_a_rewriting_rule_that_does_not_say_what_it_took_is_found() -> None:
    writer = LedgerWriter("s")
    writer.keep("abc", before="abcdef")
    with pytest.raises(ValueError, match="6 characters read != 3 kept"):
        writer.close()


@given(st.permutations(range(30)), st.integers(1, 29))
def test_samples_do_not_depend_on_order_or_shards(order: list[int], cut: int) -> None:
    """Another number of workers, or files in another order, must show the same documents."""
    whole, shards = LedgerWriter("s"), (LedgerWriter("s"), LedgerWriter("s"))
    for number in range(30):
        whole.drop("short", f"id{number}", str(number))
    for place, number in enumerate(order):
        shards[place >= cut].drop("short", f"id{number}", str(number))
    samples = whole.close().samples
    assert len(samples["short"]) == SAMPLES_PER_RULE
    assert merge(shard.close() for shard in shards).samples == samples


@given(st.integers(0, 10**9))
def test_lengths_fall_into_bins_an_eighth_to_a_quarter_wide(length: int) -> None:
    low = length_bin(length)
    assert low <= length <= low * 1.25 + 1e-9 or length < 8
    assert length_bin(low) == low


@given(st.lists(st.tuples(LENGTHS, LENGTHS, st.sampled_from(["en", "zh", None]))))
def test_documents_counted_at_once_are_in_the_bins_of_single_ones(documents: list[tuple[int, int, str | None]]) -> None:
    writer = LedgerWriter("s")
    read, kept, languages = zip(*documents, strict=True) if documents else ((), (), ())
    writer.keep_all(np.array(read, np.int64), np.array(kept, np.int64), languages)
    assert (writer.read, writer.characters_read, writer.characters_kept) == (len(documents), sum(read), sum(kept))
    assert writer.lengths_read == Counter(map(length_bin, read))
    assert writer.lengths_kept == Counter(map(length_bin, kept))
    assert writer.languages == Counter(filter(None, languages))


def test_what_is_written_is_read_even_after_damaged_text(tmp_path: Path) -> None:
    """A lone surrogate comes from text decoded with `surrogateescape`; JSON cannot hold it."""
    writer = LedgerWriter("s")
    writer.drop("damaged", "1", "caf\udce9")
    ledger = Ledger(sources=(writer.close(),))
    ledger.write(tmp_path)
    assert Ledger.read(tmp_path) == ledger


@pytest.mark.parametrize("content", [None, "{", '{"sources": [{"source": "s", "read": 2, "kept": 1}]}'])
def test_a_missing_damaged_or_edited_ledger_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(DataError, match=r"ledger\.json"):
        Ledger.read(tmp_path)
