"""Tables of contents and lists of references: what goes, and what only looks like one."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.back_matter import contents_head, references_tail
from lifecycle.curation.enclosed_numbers import WRITTEN_OUT, enclosed_numbers
from lifecycle.errors import RecipeError
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import BoilerplateConfig, list_digests
from tests.curation.test_rules import CHINESE, ENGLISH

CONFIG = BoilerplateConfig()
LONG_ZH, LONG_EN = "\n".join([CHINESE] * 4), "\n".join([ENGLISH] * 4)


@pytest.mark.parametrize(
    "tail",
    [
        "参考文献\n[1] 张三. 论文题目[J]. 期刊, 2001, 3(2): 1-9.\n[2] 李四. 书名[M]. 出版社, 1999.",
        "参考文献：\n1、王五：《文学史》，人民出版社，2003年。\n2、赵六：《诗论》，中华书局，1987年。",
        "## 参考资料\n\n- https://example.org/a\n- [文章](https://example.org/b)，2020",
        "References\n==========\n[1] A. Author, A Title, 2001.\n    http://example.org/long/address\n[2] B. Author, 1999.",
        "**References**\n\nSmith, J. (2004). The title of it. A Journal, 12.\nMiller, A. (1999). Another one. Press.",
        "7. Bibliography:\n1. Knuth, D. The Art. 1968.\n2. Aho, A. Compilers. 1986.",
    ],
)
def test_lists_of_references_go(tail: str) -> None:
    for text in (LONG_ZH, LONG_EN):
        assert references_tail(f"{text}\n\n{tail}", CONFIG) == text


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG_ZH}\n参考文献很重要。",
        f"{LONG_ZH}\n参考文献\n这一节讨论如何引用文献，它是正文的一部分。\n每位作者都应当读一读。",
        f"{LONG_EN}\nReferences\n[1] A. Author, 2001.\n\n# Appendix\n{ENGLISH}",  # text follows
        "参考文献\n[1] 张三. 论文题目[J]. 期刊, 2001.",  # nothing else
        f"短。\n参考文献\n[1] {'张三. 论文题目[J]. 期刊, 2001. ' * 20}",  # what the text is
        f"{LONG_EN}\n```\nReferences\n[1] x\n",  # in code
        f"{LONG_EN}\nReferences\n",
        f"{LONG_EN}\nSee the references [1] and [2] for more.",
    ],
)
def test_what_is_no_list_of_references_stays(text: str) -> None:
    assert references_tail(text, CONFIG) == text


@pytest.mark.parametrize(
    "head",
    [
        "目　录\n第一章　总则\n第二章　权利\n第三章　附则\n",
        "# 目录\n\n- [开始](#start)\n- [安装](#install)\n- [结束](#end)\n\n",
        "目录\n前言............1\n第一节 起源……3\n第二节 发展 …… 12\n",
        "【目录】\n一、背景\n二、方法\n三、结论\n",
        "Contents\n\nCHAPTER I.   Down the Rabbit-Hole\nCHAPTER II.  The Pool of Tears\nCHAPTER III. A Caucus-Race\n\n",
        "Table of Contents\n1 Introduction\n1.1 Aims\n2 Method ..... 14\n",
    ],
)
def test_tables_of_contents_go(head: str) -> None:
    for text in (LONG_ZH, LONG_EN):
        assert contents_head(f"Title\n{head}{text}", CONFIG) == f"Title\n{text}"


def test_the_text_begins_where_an_entry_comes_again() -> None:
    """Laws name their chapters twice: once in the contents, once above their first article."""
    entries = "第一章　总则\n第二章　权利\n第三章　附则\n"
    body = (
        "第一章　总则\n第一条　为了保护权利，制定本法。\n第二条　本法适用于全国。\n第二章　权利\n第三条　公民有权利。\n" * 2
    )
    assert contents_head(f"某某法\n目　录\n{entries}{body}", CONFIG) == f"某某法\n{body}"


@pytest.mark.parametrize(
    "text",
    [
        f"目录服务是一种数据库。\n{LONG_ZH}",
        f"目录\n{LONG_ZH}",
        f"目录\n第一章 总则\n第二章 附则\n{LONG_ZH}",  # two entries
        f"Contents\n1. This is a whole sentence of text.\n2. So is this one here.\n3. And this one too.\n{LONG_EN}",
        "目录\n第一章 总则\n第二章 权利\n第三章 附则\n",  # the page is nothing else: its rule drops it
        f"```\nContents\n1 a\n2 b\n3 c\n```\n{LONG_EN}",
        f"{LONG_EN}\n" * 9 + "Contents\n1 Introduction\n2 Method\n3 Results\n" + LONG_EN,  # no head
    ],
)
def test_what_is_no_table_of_contents_stays(text: str) -> None:
    assert contents_head(text, CONFIG) == text


LINES = [
    "目录",
    "Contents",
    "第一章 总则",
    "1 Introduction",
    "参考文献",
    "References",
    "[1] A. B., 2001.",
    "",
    "```",
    CHINESE,
    ENGLISH,
]


@given(st.lists(st.sampled_from(LINES), max_size=20).map("\n".join) | st.text())
def test_they_only_take_away_and_once_is_enough(text: str) -> None:
    for rule in (contents_head, references_tail):
        once = rule(text, CONFIG)
        assert len(once) <= len(text)
        assert set(once.split("\n")) <= set(text.split("\n"))
    tail = references_tail(text, CONFIG)
    assert text.startswith(tail)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("①苹果②香蕉⑩梨", "(1)苹果(2)香蕉(10)梨"),
        ("图5①", "图5(1)"),
        ("⑴⒈㈠㊁❶➉⓫⓪", "(1)1.(一)(二)(1)(10)(11)(0)"),
        ("Ⅳ型 ⅻ", "IV型 xii"),
        ("x² ½ ℃ № ™ ㎡ Ⓡ ⓐ", "x² ½ ℃ № ™ ㎡ Ⓡ ⓐ"),
    ],
)
def test_enclosed_numbers(before: str, after: str) -> None:
    assert enclosed_numbers(before) == after
    assert enclosed_numbers(after) == after


def test_every_enclosed_number_keeps_its_value() -> None:
    for character, plain in WRITTEN_OUT.items():
        digits = "".join(each for each in plain if each.isdecimal())
        if digits:
            assert float(digits) == unicodedata.numeric(character)


def test_the_users_own_headings(tmp_path: Path) -> None:
    """Lists of the recipe extend those that ship, count for its identity, and are as strict."""
    contents, references, bad = (tmp_path / f"{name}.txt" for name in ("contents", "references", "bad"))
    contents.write_text("# mine\n内容一览\n", encoding="utf-8")
    references.write_text("re:works[ ]consulted", encoding="utf-8")
    bad.write_text("re:(", encoding="utf-8")
    mine = BoilerplateConfig(contents_headings=(str(contents),), references_headings=(str(references),))
    entries = "".join(f"第{number}章 题目{number} …… {number}\n" for number in "一二三四")
    for heading, config, goes in (("内容一览", mine, True), ("内容一览", CONFIG, False), ("目录", mine, True)):
        text = f"{heading}\n{entries}{LONG_ZH}"
        assert contents_head(text, config) == (LONG_ZH if goes else text)
    tail = "[1] A. Author, A Title, 2001.\n[2] B. Author, 1999."
    for heading, config, goes in (
        ("Works Consulted", mine, True),
        ("Works Consulted", CONFIG, False),
        ("References", mine, True),
    ):
        text = f"{LONG_EN}\n\n{heading}\n{tail}"
        assert references_tail(text, config) == (LONG_EN if goes else text)
    assert set(list_digests(CurationConfig(boilerplate=mine))) == {str(contents), str(references)}
    with pytest.raises(RecipeError, match=r"curation\.boilerplate\.contents_headings: .*bad\.txt: 're:\('"):
        contents_head(LONG_ZH, BoilerplateConfig(contents_headings=(str(bad),)))
    with pytest.raises(RecipeError, match=r"curation\.boilerplate\.references_headings: no file at"):
        references_tail(LONG_ZH, BoilerplateConfig(references_headings=(str(tmp_path / "none.txt"),)))
