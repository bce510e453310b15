"""Cleaning a cleaned text changes nothing: otherwise equal documents differ after the next run, and digests never settle."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.curation.normalise import normalise, normalised, repaired, steps
from lifecycle.curation.repeated_lines import line_hash
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import BoilerplateConfig, PiiConfig, RepeatedLinesConfig
from tests.corpora.reading import read
from tests.shared_data import shared

LINES = RepeatedLinesConfig()
FURNITURE = "All content of this site is collected"
REPEATED = frozenset({hashed for line in (FURNITURE, "本站所有内容均来自网络") if (hashed := line_hash(line, LINES))})
EVERYTHING = CurationConfig(
    html_remnants=True,
    traditional_to_simplified=True,
    repeated_lines=LINES,
    boilerplate=BoilerplateConfig(trim_broken=True),
    pii=PiiConfig(),
)
PARTS = [
    *(
        "&",
        "amp;",
        "lt;",
        "gt;",
        "nbsp;",
        "#65;",
        "#9312;",
        "＆",
        "；",
        "<",
        ">",
        "＜",
        "＞",
        "/",
        "br",
        "p",
        "a href=x",
        "!--",
        "-->",
        "<b>",
    ),
    *(
        " ",
        "  ",
        "    ",
        "\t",
        "\n",
        "\n\n",
        "\r",
        "\u3000",
        "\u00a0",
        "\u200b",
        "\u200d",
        "\x85",
        "\x93",
        "\ufeff",
        "\u00ad",
    ),
    *("`", "```\n", "~~~\n", "<pre>", "</pre>", "<code>", "- ", "# ", "[1]", "|"),
    *(
        "Ã",
        "©",
        "â",
        "€",
        "™",
        "\u0080",
        "é",
        "e\u0301",
        "ï¼",
        "Œ",
        "а",
        "о",
        "ΡΟ",
        "paypаl",
        "ﬁ",
        "①",
        "⒈",
        "㈠",
        "Ⅻ",
        "１",
        "Ａ",
        "@",
        "＠",
    ),
    *(
        "1",
        "2",
        "138",
        "1234",
        "5678",
        "-",
        "+86 ",
        "a@b.co",
        "電話：",
        "电话",
        "微信号：",
        "abc_12345",
        "8.8.8.8",
        "::1",
        "<PHONE>",
    ),
    *(
        "扫码关注",
        "。",
        "，",
        "！",
        "一句完整的话。",
        "Text. ",
        "All rights reserved",
        "?",
        "…",
        "(",
        ")",
        "” ",
        "第一章 ",
        "目录\n",
        "参考文献\n",
    ),
    *(
        f"\n{FURNITURE}\n",
        FURNITURE,
        "本站所有内容均来自网络",
        "著作权",
        "後",
        "乾",
        "References\n",
        "[2] A. Author, 2001. Title.\n",
        "........ 12\n",
    ),
]


def cleaned(text: str, config: CurationConfig = EVERYTHING) -> str:
    """The text after the whole chain."""
    return normalised(text, config, REPEATED)


@example("＆#32;x")  # full width hid an entity
@example("<Ａ>")  # and a tag
@example("<a\u00a0href=x>")  # a space that was none for the pattern of tags
@example("Ã\u3000\x93")  # white space completed mojibake
@example("\xadï¼©")  # a soft hyphen hid it
@example("\u200d\u200d")  # one joiner stood behind another
@example("All rights reserved。本站所有内容均来自网络")  # behind an advert, a repeated line
@example("！<code>…All rights reserved")  # a broken edge stood before an advert
@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(max_size=60))
def test_the_whole_chain_once_is_enough(text: str) -> None:
    once = cleaned(text)
    assert cleaned(once) == once
    plain = cleaned(text, CurationConfig())
    assert cleaned(plain, CurationConfig()) == plain
    assert repaired(EVERYTHING, repaired(EVERYTHING, text)) == repaired(EVERYTHING, text)


def test_a_rule_runs_only_where_it_could_change_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is clean must pay neither for repairs nor for the second round."""
    from lifecycle.curation import normalise as module

    calls = []
    once = module._once
    monkeypatch.setattr(module, "_once", lambda rule, repair: once(rule, lambda text: calls.append(rule) or repair(text)))
    assert list(steps("A clean sentence.", EVERYTHING, REPEATED)) == []
    assert calls == ["repeated_lines", "contents_head", "references_tail", "advert_sentences", "broken_edges"]
    calls.clear()
    assert [rule for rule, _ in steps("Ａ clean sentence.", EVERYTHING, REPEATED)] == ["full_width"]
    assert calls.count("full_width") == 1
    assert not {"mojibake", "control_characters", "white_space"} & set(calls)
    assert calls.count("advert_sentences") == 1  # it saw the final text already


def test_a_rule_is_named_once_and_the_last_has_the_final_text() -> None:
    text = "one \n＆nbsp;two"
    changes = list(normalise(text, EVERYTHING, REPEATED))
    assert len({rule for rule, _ in changes}) == len(changes) < len(list(steps(text, EVERYTHING, REPEATED)))
    assert changes[-1][1] == cleaned(text) == "one\n two"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        ("jsonl", "raw/en/c4_demo.jsonl.gz", {}),
        ("jsonl", "raw/multi/dj_redpajama_cc.jsonl", {}),
        ("jsonl", "raw/zh/flagdata_ccnet_spam.jsonl", {"text_field": "raw_content"}),
        ("jsonl", "raw/zh/react_docs_zh.jsonl.gz", {}),
        ("json", "raw/multi/ftfy_mojibake_*.json", {"text_field": "original"}),
        ("html", "raw/html/trafilatura_cc_pages.tar.gz", {"members": "*.html"}),
    ],
)
def test_real_text_settles(tmp_path: Path, kind: str, path: str, fields: dict) -> None:
    documents, _ = read(tmp_path, kind=kind, path=f"{shared('raw').parent}/{path}", tolerance=1, **fields)
    for document in documents[:300]:
        once = cleaned(document["text"])
        assert cleaned(once) == once, document["id"]
