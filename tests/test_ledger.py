"""Every document is accounted for: read = kept + drops, in one stage, over shards, and through the stages."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.errors import DataError
from lifecycle.ledger import SAMPLES_PER_RULE, Ledger, LedgerWriter, SourceLedger, chain, merge

fates = st.lists(st.sampled_from(["keep", "too short", "wrong language", "duplicate"]), max_size=60)


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
    for events in stages:
        size = ledgers[-1].kept if ledgers else len(events)
        ledgers.append(_account((events + ["keep"] * size)[:size]))
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
    writer.change("full-width", "1", "ａｂｃ", "abc")
    writer.keep("abc", before="ａｂｃ!")
    ledger = writer.close()
    assert (ledger.read, ledger.kept, ledger.dropped, ledger.changed) == (1, 1, {}, {"full-width": 1})
    assert (ledger.characters_read, ledger.characters_kept) == (4, 3)
    assert ledger.samples["full-width"][0].after == "abc"


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
