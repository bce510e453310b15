"""Repairs: what must change, and what must not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.normalise import normalise
from lifecycle.recipe.corpora import CurationConfig

MARKDOWN = """# Title

A paragraph with `code`, **bold** and a [link](https://example.org/a_(b)?q=1&r=%20#frag) and the words after it.

| a  | b   |
|----|-----|
| 1  | 2.5 |

```python
def f(x):
    if x > 1:
\t\treturn {"a": [1, 2]}  # comment


    return None
```

$$\\int_0^1 \\frac{x^2}{\\sqrt{1-x}}\\,dx = \\alpha_{i,j} \\\\ \\text{and } \\{a\\}$$

- item
    - nested item
"""
CHINESE = "《红楼梦》（又名“石头记”）：第一回，甄士隐……梦幻识通灵！是吗？是的；好——真的。"


def repaired(text: str, simplify: bool = False) -> tuple[str, list[str]]:
    rules = []
    for rule, after in normalise(text, CurationConfig(traditional_to_simplified=simplify)):
        rules.append(rule)
        text = after
    return text, rules


@pytest.mark.parametrize("text", [MARKDOWN.strip("\n"), CHINESE, "    indented first line\nsecond", "a\tb\tc\n\n\nd"])
def test_markdown_latex_code_and_chinese_punctuation_survive(text: str) -> None:
    """Seeds deleted newlines as unprintable, and a URL pattern of theirs ate the English text behind the URL."""
    assert repaired(text) == (text, [])


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("caf\u00c3\u00a9 and \u00e2\u20ac\u0153quotes\u00e2\u20ac\u009d", "café and “quotes”", "mojibake"),
        ("\u00e4\u00bd\u00a0\u00e5\u00a5\u00bd\uff0c\u4e16\u754c".replace("\uff0c\u4e16\u754c", ""), "你好", "mojibake"),
        ("中文行\n\u00c3\u00a9t\u00c3\u00a9", "中文行\nété", "mojibake"),
        ("e\u0301", "é", "canonical_form"),
        ("one\r\ntwo\rthree\u2028four\x0cfive", "one\ntwo\nthree\nfour\nfive", "control_characters"),
        (
            "zero\u200bwidth\ufeff, soft\u00adhyphen, bell\x07, del\x7f",
            "zerowidth, softhyphen, bell, del",
            "control_characters",
        ),
        ("C1 controls: \x93quoted\x94\x85", "C1 controls: “quoted”…", "mojibake"),
        ("ＡＢｃ１２３＋％，全角。", "ABc123+%，全角。", "full_width"),
        ("a\u00a0b\u3000c  \n\n\n\n\n\nd\t\n", "a b c\n\n\nd", "white_space"),
    ],
)
def test_each_repair(before: str, after: str, rule: str) -> None:
    text, rules = repaired(before)
    assert text == after
    assert rule in rules


def test_joiners_stay_where_they_mean_something() -> None:
    """Without them an emoji family falls apart and Persian words change; elsewhere they only break search and dedup."""
    assert repaired("👩\u200d👩\u200d👧 می\u200cخواهم")[0] == "👩\u200d👩\u200d👧 می\u200cخواهم"
    assert repaired("wo\u200drd 中\u200c文")[0] == "word 中文"


def test_traditional_becomes_simplified_only_when_asked() -> None:
    text = "電腦軟體的發展與應用"
    assert repaired(text) == (text, [])
    assert repaired(text, simplify=True) == ("电脑软体的发展与应用", ["traditional_to_simplified"])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """Otherwise two documents that were equal after the first run would differ after the second."""
    once, _ = repaired(text)
    assert unicodedata.is_normalized("NFC", once)
    # A repair may uncover mojibake that control characters hid; it may not go on for ever.
    twice, _ = repaired(once)
    thrice, _ = repaired(twice)
    assert thrice == twice


@given(st.text(st.sampled_from("abc 中文é.,:/#\n\t_*`$\\{}[]()0123456789"), max_size=200))
def test_clean_text_loses_nothing_but_white_space(text: str) -> None:
    after, rules = repaired(text)
    assert "".join(after.split()) == "".join(text.split())
    assert set(rules) <= {"white_space"}
    assert [line.rstrip() for line in text.strip("\n").split("\n") if line.strip()] == [
        line for line in after.split("\n") if line
    ]
