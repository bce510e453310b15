"""Adverts at the edges, broken sentences, repeated lines and blocklists."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.blocklists import listed
from lifecycle.curation.boilerplate import PHRASES, advert_sentences, broken_edges
from lifecycle.curation.clean import clean_source
from lifecycle.curation.judge import judge
from lifecycle.curation.normalise import normalise
from lifecycle.curation.quality import KEPT
from lifecycle.curation.repeated_lines import line_hash, repeated_lines, without_lines
from lifecycle.errors import RecipeError
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.curation import Blocklist, BoilerplateConfig, PiiConfig, RepeatedLinesConfig, list_entries
from lifecycle.recipe.recipe import load_recipe
from lifecycle.stages import CLEANED_CORPORA
from tests.curation.cleaning import account_of, texts, write_documents
from tests.curation.test_rules import CHINESE, ENGLISH

CONFIG = BoilerplateConfig()
LINES = RepeatedLinesConfig()
FIVE = "一是。二是。三是。四是。五是。"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"点击上方蓝字关注我们！{CHINESE}", CHINESE),
        (f"{CHINESE}长按识别二维码。联系我们：微信号：abc_12345", CHINESE),
        (f"{CHINESE}\n责任编辑：王五\n上一篇：旧闻", f"{CHINESE}\n"),
        (f"{CHINESE}扫码关注\n第二段。", f"{CHINESE}\n第二段。"),
        (f"{ENGLISH} Subscribe to our newsletter! © 2020 Someone", f"{ENGLISH} "),
    ],
)
def test_adverts_at_the_edges_go(before: str, after: str) -> None:
    assert advert_sentences(before, CONFIG) == after


@pytest.mark.parametrize(
    "text",
    [
        CHINESE,
        ENGLISH,
        f"{FIVE}公众号让人扫码关注。{FIVE}",  # the subject of the text: five clean sentences stand on both sides
        f"```\n扫码关注\n```\n{CHINESE}",
        "他说，" + "这件事情已经说了很多遍了，" * 10 + "请大家扫码关注。",  # a sentence that says more than that
    ],
)
def test_what_is_no_advert_stays(text: str) -> None:
    assert advert_sentences(text, CONFIG) == text


def test_the_users_own_phrases(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# mine\n天天快报\nre:^看点\\d+", encoding="utf-8")
    mine = BoilerplateConfig(phrases=(str(path),))
    assert advert_sentences(f"看点12：来自天天快报\n{CHINESE}", mine) == CHINESE
    path.with_name("bad.txt").write_text("re:(", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"curation\.boilerplate\.phrases: .*bad\.txt: 're:\('"):
        advert_sentences(CHINESE, BoilerplateConfig(phrases=(str(tmp_path / "bad.txt"),)))
    with pytest.raises(RecipeError, match="no file at"):
        advert_sentences(CHINESE, BoilerplateConfig(phrases=(str(tmp_path / "none.txt"),)))


def test_every_shipped_phrase_is_said_once() -> None:
    entries = [entry for path in sorted(PHRASES.glob("*.txt")) for entry in list_entries(path, "phrases")]
    assert len(entries) == len(set(entries)) > 100


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("第一句完整。第二句也完整。第三句没有", "第一句完整。第二句也完整。"),
        ("，前面被切掉了。这里开始。", "这里开始。"),
        ("This is a whole sentence. This one is not", "This is a whole sentence."),
        ("标题没有句号", "标题没有句号"),
        ("前言。\n- 第一项。第二项", "前言。\n- 第一项。第二项"),
        ("[1]: https://a.org/x?y=1", "[1]: https://a.org/x?y=1"),
        ("R. P. Brent and Mr. Jones", "R. P. Brent and Mr. Jones"),
        ("Run it. Then `x = 1` again", "Run it. Then `x = 1` again"),
    ],
)
def test_broken_edges(before: str, after: str) -> None:
    assert broken_edges(before) == after


PARTS = [
    "扫码关注",
    "。",
    "，",
    "好的",
    "\n",
    "All rights reserved",
    ". ",
    "Text",
    "！",
    "```\n",
    "`",
    "  ",
    "上一篇：",
    "?",
    "…",
]


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join) | st.text())
def test_once_is_enough(text: str) -> None:
    for rule in (lambda text: advert_sentences(text, CONFIG), broken_edges):
        once = rule(text)
        assert rule(once) == once
        assert len(once) <= len(text)


def test_lines_repeated_across_a_source_go_and_structure_stays() -> None:
    furniture, import_line = "本站所有内容均来自网络收集整理", "import numpy as np  # common"
    documents = [
        f"# 小结与参考资料\n第{n}篇独有的内容在这里。\n{furniture}\n```\n{import_line}\n```\nFor example:\n"
        for n in range(40)
    ]
    found = repeated_lines(lambda: documents, str, LINES, workers=1)
    assert found == {line_hash(furniture, LINES)}
    assert without_lines(documents[3], found, LINES) == documents[3].replace(furniture + "\n", "")
    rare = RepeatedLinesConfig(min_documents=41)
    assert repeated_lines(lambda: documents, str, rare, workers=1) == frozenset()


def test_a_line_counts_once_a_document() -> None:
    documents = ["同一行文字在一篇里重复多次。\n" * 50, *(f"别的内容，第{n}篇文章。" for n in range(5))]
    assert repeated_lines(lambda: documents, str, LINES, workers=1) == frozenset()


@pytest.fixture
def gambling(tmp_path: Path) -> Blocklist:
    path = tmp_path / "gambling.txt"
    path.write_text("# words\n赌场\n澳门赌场\nslot\nass\n", encoding="utf-8")
    return Blocklist(category="gambling", path=str(path))


@pytest.mark.parametrize(
    ("text", "blocked"),
    [
        ("澳门赌场开业，大赌场优惠，线上赌场。", True),
        ("赌场，赌场。", False),  # two hits
        ("赌场。" * 3 + CHINESE * 40, False),  # not dense
        ("Slot SLOT slot", True),
        ("class glass timeslots assess " * 5, False),  # words inside words
    ],
)
def test_blocklists_need_hits_and_density(gambling: Blocklist, text: str, blocked: bool) -> None:
    config = CurationConfig(quality_sets=(), languages=("en", "zh"), blocklists=(gambling,))
    table = pa.table({"id": ["1"], "text": [text], "lang": ["zh"]})
    assert judge(table, config).decided.tolist() == ["blocklist:gambling" if blocked else KEPT]


def test_an_empty_list_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"curation\.blocklists\.x: .*holds no word"):
        listed("text", (Blocklist(category="x", path=str(tmp_path / "x.txt")),))


def test_a_source_is_cleaned_in_the_stated_order_and_accounted_for(tmp_path: Path, gambling: Blocklist) -> None:
    furniture = "本站所有内容均来自网络收集整理"
    given_texts = [f"{CHINESE}第{n}篇。\n{furniture}\n电话：1381234567{n % 10}" for n in range(12)]
    raw = write_documents(tmp_path / "raw", [*given_texts, "澳门赌场，" * 3 + CHINESE, f"{CHINESE}扫码关注"], language="zh")
    config = CurationConfig(
        workers=1,
        boilerplate=CONFIG,
        pii=PiiConfig(),
        repeated_lines=LINES,
        blocklists=(gambling,),
        traditional_to_simplified=True,
    )
    out = tmp_path / "out"
    out.mkdir()
    clean_source(raw, "sample", config, out, tmp_path / "run")
    account = account_of(out)
    assert account.dropped["blocklist:gambling"] == 1
    assert account.changed["repeated_lines"] == 12
    assert account.changed["advert_sentences"] >= 1
    assert all(furniture not in text and "1381234567" not in text for text in texts(out))
    text = f"ＡＢ&amp;{CHINESE}扫码关注\n电话：13812345678"
    rules = [rule for rule, _ in normalise(text, config)]
    assert rules == sorted(rules, key=["full_width", "advert_sentences", "pii_phone"].index)
    assert len(rules) == len(set(rules))  # a document counts once under each rule


def test_another_word_in_a_list_is_another_result(tmp_path: Path) -> None:
    """A path in the recipe stays the same while its file changes: the fingerprint must know the content."""
    path = tmp_path / "words.txt"
    blocklist = Blocklist(category="words", path=str(path), min_hits=1)
    recipe = load_recipe(Path(__file__).parents[2] / "deploy/recipes/demo.yaml")
    recipe = recipe.model_copy(update={"curation": recipe.curation.model_copy(update={"blocklists": (blocklist,)})})
    found = []
    for words in ("one", "another"):
        path.write_text(words, encoding="utf-8")
        found.append((CLEANED_CORPORA.identity(recipe, "packages"), listed("one word", (blocklist,))))
    assert found[0][0] != found[1][0]
    assert [hits for _, hits in found] == [[(1, 3)], [(0, 0)]]
    path.unlink()
    with pytest.raises(RecipeError, match=r"curation\.blocklists\.words: no file at"):
        CLEANED_CORPORA.identity(recipe, "packages")
