"""Which answers become a pair, and how all pairs together are kept in balance."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Message
from lifecycle.preferences.balance import balance, capped, proportional
from lifecycle.preferences.drafts import Draft
from lifecycle.preferences.pairing import decisions, pair_up
from lifecycle.preferences.table import Pair
from lifecycle.recipe.preferences import PairingConfig
from tests.preferences.test_judges import asked

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1)


def draft(number: int, chosen: int = 3, rejected: int = 2, **changes: Any) -> Draft:
    values = {"language": "en", "group": "sampled", "task": "general", "source": "sampled", **changes}
    pair = Pair(
        id=f"p{number}",
        prompt=(Message(role="user", content=f"prompt {number}"),),
        chosen="yes " * chosen,
        rejected="no " * rejected,
        source=values["source"],
        task=values["task"],
        chosen_score=0.5 + number / 1000,
        rejected_score=0.1,
    )
    return Draft(pair, values["language"], values["group"])


@given(COUNTS, st.floats(0.05, 1))
def test_no_group_is_more_than_its_cap(counts: dict[str, int], share: float) -> None:
    """Unless half of all would not stay, or there are too few groups for any whole to fulfil it."""
    kept = capped(counts, share)
    whole, left, largest = sum(counts.values()), sum(kept.values()), max(kept.values())
    assert all(0 < kept[name] <= counts[name] for name in counts)
    assert all(size in (counts[name], largest) for name, size in kept.items()), "only the largest are cut"
    assert 2 * left >= whole
    one_less = sum(min(size, largest - 1) for size in kept.values())
    assert largest <= share * left + 1e-6 or 2 * one_less < whole or largest == min(counts.values())


def test_a_small_task_does_not_take_the_others_with_it() -> None:
    """Two pairs of a second task once left four of a hundred."""
    drafts = [draft(i, task="a") for i in range(2)] + [draft(100 + i, task="b") for i in range(98)]
    (warning,) = balance(drafts, PairingConfig(max_task_share=0.5), None)
    assert Counter(each.pair.task for each in drafts if each.rule is None) == {"a": 2, "b": 48}
    assert "b is 48 of 50 pairs, more than pairing.max_task_share 0.5" in warning


@given(COUNTS, st.data())
def test_shares_are_in_proportion(counts: dict[str, int], data: st.DataObject) -> None:
    shares = {name: data.draw(st.integers(1, 9)) for name in counts}
    kept = proportional(counts, shares)
    assert all(1 <= kept[name] <= counts[name] for name in counts)
    whole = min(counts[name] * sum(shares.values()) / share for name, share in shares.items())
    assert all(abs(kept[name] - whole * share / sum(shares.values())) < 1 for name, share in shares.items())
    assert any(kept[name] == counts[name] for name in counts), "more would have been possible"


@pytest.mark.parametrize("share", [0.5, 0.6, 1.0])
def test_length_says_no_more_than_the_recipe_lets_it(share: float) -> None:
    drafts = [draft(i, 9, 2) for i in range(40)] + [draft(100 + i, 2, 9) for i in range(10)] + [draft(200, 4, 4)]
    balance(drafts, PairingConfig(max_longer_share=share), None)
    sides = Counter(each.longer() for each in drafts if each.rule is None)
    assert sides[0] == 1
    assert sides[-1] == 10
    assert sides[1] == {0.5: 10, 0.6: 15, 1.0: 40}[share]
    kept = [each for each in drafts if each.rule is None and each.longer() == 1]
    assert {each.pair.id for each in kept} == {f"p{i}" for i in range(40 - len(kept), 40)}, "the widest margins stay"


def test_languages_tasks_and_sources_are_held_to_their_shares() -> None:
    drafts = [draft(i, language="zh") for i in range(30)] + [draft(100 + i) for i in range(60)]
    drafts += [draft(200 + i, language="de") for i in range(5)]
    balance(drafts, PairingConfig(language_shares={"zh": 2, "en": 1}), None)
    assert Counter(each.language for each in drafts if each.rule is None) == {"zh": 30, "en": 15}
    drafts = [draft(i, group="0", source="human", task="a") for i in range(10)] + [
        draft(100 + i, task="b") for i in range(90)
    ]
    assert not balance(drafts, PairingConfig(max_task_share=0.8, sampled_weight=3), {"sampled": 3, "0": 1})
    assert Counter(each.rule for each in drafts) == {None: 40, "task_balance": 50, "mix": 10}
    few = [draft(i, group="0") for i in range(2)] + [draft(100 + i) for i in range(98)]
    (warning,) = balance(few, PairingConfig(sampled_weight=1), {"0": 1, "sampled": 1})
    assert warning.startswith("mix leaves 4 of 100 pairs")
    with pytest.raises(DataError, match=r"ask for \['fr'\]"):
        balance(drafts, PairingConfig(language_shares={"fr": 1, "en": 1}), None)


@pytest.mark.parametrize(
    ("rejected", "pairs"),
    [("worst", [(0, 4)]), ("hard", [(0, 2)]), ("every", [(0, 4), (3, 4), (2, 4)])],
)
def test_which_answer_is_set_against_the_best(rejected: Any, pairs: list[tuple[int, int]]) -> None:
    """Answer 1 says what answer 0 says, answer 5 has no score: neither may be in a pair."""
    one = asked("a", "?", ["best of all", " best of all", "middling", "nearly as good", "bad", "unjudged"])
    scores = [[0.9, 0.9, 0.7, 0.8, 0.1, None]]
    drafts, reasons = pair_up([one], scores, PairingConfig(rejected=rejected), 0.15, "sampled")
    assert [(each.chosen, each.rejected) for each in drafts] == pairs
    assert len({each.pair.id for each in drafts}) == len(drafts)
    assert reasons == [None]
    (decided,) = decisions([one], drafts, scores)
    assert decided[1] == "duplicate"
    assert decided[5] == "no_verdict"
    used = {number for pair in pairs for number in pair}
    assert [number for number, each in enumerate(decided) if each == "kept"] == sorted(used)
    assert all(decided[number] == "not_taken" for number in {0, 2, 3, 4} - used)


@pytest.mark.parametrize(
    ("answers", "scores", "reason", "rule"),
    [
        (["same", "same "], [1.0, 1.0], "identical", None),
        (["one", "two"], [0.5, None], "no_verdict", None),
        (["one", "two"], [0.55, 0.5], "no_margin", None),
        (["one", "two"], [0.5, 0.5], "no_margin", None),
        (["", "two"], [0.9, 0.1], None, "empty_chosen"),
        (["the path of a file", "a file of the path"], [0.9, 0.1], None, "near_identical"),
        (["one", "two"], [0.9, 0.1], None, None),
    ],
)
def test_each_outcome_has_its_rule(
    answers: list[str], scores: list[float | None], reason: str | None, rule: str | None
) -> None:
    drafts, reasons = pair_up([asked("a", "?", answers)], [scores], PairingConfig(), 0.1, "sampled")
    assert reasons == [reason]
    assert [each.rule for each in drafts] == ([] if reason else [rule])
