"""Exact answers of maths: the number that an answer ends in."""

from fractions import Fraction

import pytest

from lifecycle.preferences.judges.maths import exact, final_number, in_gsm8k_form


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Half of 48 is 24. 48 + 24 = 72\n#### 72", 72),
        ("#### 1,080", 1080),
        ("The answer is $1,234.50.", Fraction(2469, 2)),
        ("So the answer is 3 + 4 = 7 apples, and 2 are left for tomorrow.", 7),
        ("We get \\boxed{-5} as 3 is lost.", -5),
        ("小明一共有３６个苹果。答案是：３６个。", 36),
        ("因此答案为 12.5 元，其中 3 元是零钱", Fraction(25, 2)),
        ("结果等于 3/4", Fraction(3, 4)),
        ("First 3, then 8 apples", 8),
        ("It is 50%", 50),
        ("1/0", None),
        ("no number at all", None),
    ],
)
def test_the_number_that_counts(text: str, number: float | Fraction | None) -> None:
    assert final_number(text) == number


def test_right_is_equal_as_a_number_and_unknown_without_one() -> None:
    assert exact("答案是 0.5", "#### 1/2") is True
    assert exact("I do not know", "#### 7") is False
    assert exact("7", "Paris") is None
    assert in_gsm8k_form("3 + 4 = 7\n#### 7")
    assert not in_gsm8k_form("#### A heading of Markdown")
