"""The papers' sets of rules: each rule drops what it is for, and a recipe and its sources choose among the sets."""

import pytest

from lifecycle.curation.quality import RULES, decisions, rules_of
from lifecycle.curation.statistics import statistics
from lifecycle.recipe.cleaning import CleaningConfig
from lifecycle.recipe.corpora import CurationConfig, JsonlSource
from tests.curation.test_rules import CHINESE, ENGLISH

PROSE = (
    "The committee met on Tuesday to hear what the engineers had found. Nobody had expected the bridge to be safe, and yet "
    "it was. Some of the older members wondered aloud whether a report of this length could be read before summer. "
    "Others, who have more patience with numbers, went through every table and asked about rounding! Was it right to "
    "wait? In the end they agreed to publish, with a note that explains which measurements were taken by hand.\n"
)
ITEM = "- the item that we have to list with number {}\n"
CHAPTERS = "".join(f"第{number}章 神经网络的训练方法\n" for number in "一二三四五六七八九十")
CASES = [
    ("gopher_quality", "en", PROSE, "kept"),
    ("gopher_quality", "en", "The cat sat. " * 5, "gopher_few_words"),
    ("gopher_quality", "en", "the of a b c d e f g h " * 20, "gopher_short_words"),
    ("gopher_quality", "en", "the of internationalization representativeness " * 30, "gopher_long_words"),
    ("gopher_quality", "en", PROSE + "#tag " * 30, "gopher_hashes"),
    ("gopher_quality", "en", PROSE + "and... " * 30, "gopher_ellipses"),
    ("gopher_quality", "en", "".join(ITEM.format(i) for i in range(30)), "gopher_bullets"),
    ("gopher_quality", "en", PROSE + "the rest of it is to be read elsewhere and...\n" * 3, "gopher_ellipsis_lines"),
    ("gopher_quality", "en", PROSE + "1234 " * 40, "gopher_alpha_words"),
    ("gopher_quality", "en", "several unrelated nouns without grammar " * 20, "gopher_stop_words"),
    ("gopher_repetition", "en", PROSE, "kept"),
    ("gopher_repetition", "en", "One.\n\nTwo lines of text.\n\nOne.\n\nOne.", "gopher_repeated_paragraph"),
    ("gopher_repetition", "en", "One.\nTwo lines of text.\nOne.\nOne.", "gopher_repeated_line"),
    ("gopher_repetition", "en", PROSE + "buy now " * 30, "gopher_top_2gram"),
    ("gopher_repetition", "en", (PROSE.strip() + " ") * 2, "gopher_repeated_5gram"),
    ("c4_quality", "en", PROSE, "kept"),
    ("c4_quality", "en", PROSE + "Lorem ipsum dolor sit amet.", "c4_lorem_ipsum"),
    ("c4_quality", "en", PROSE + "int main() { return 0; } is a program.", "c4_curly_bracket"),
    ("c4_quality", "en", "One sentence is all that there is.\nMenu | Home | About", "c4_sentences"),
    ("c4_quality", "zh", CHINESE + "它需要大量的数据。它也需要算力。人们还在研究它。", "kept"),
    ("fineweb_quality", "en", PROSE, "kept"),
    ("fineweb_quality", "en", "A line of a menu that is quite long and has no end\n" * 9, "fineweb_line_ends"),
    ("fineweb_quality", "en", "Short.\nAnother one.\nThe third.\nThe last.", "fineweb_short_lines"),
    ("fineweb_quality", "en", PROSE * 2, "fineweb_repeated_lines"),
    ("fineweb_quality", "en", PROSE + "\n" * 60, "fineweb_newlines"),
    ("fineweb_quality", "zh", "深度学习是机器学习的一个分支。\n它使用多层神经网络来学习。", "kept"),
    ("chinese_quality", "zh", CHINESE, "kept"),
    ("chinese_quality", "en", ENGLISH, "kept"),
    ("chinese_quality", "zh", ENGLISH * 4 + CHINESE, "chinese_han"),
    ("chinese_quality", "zh", "锟斤拷烫屯鈥檚鐨勫垵濮嬪寲璁剧疆。" * 3, "chinese_common"),
    ("chinese_quality", "zh", "。！？", "chinese_han"),
    ("chinese_quality", "zh", "首页产品中心\n关于我们公司\n联系方式大全", "chinese_line_ends"),
    ("chinese_quality", "zh", "好的。行。是。对。", "chinese_short_sentences"),
    ("chinese_quality", "zh", "我们在这里学习和工作" * 60 + "。", "chinese_long_sentences"),
    ("chinese_quality", "zh", CHAPTERS + CHINESE + "\n" + CHINESE, "chinese_contents_share"),
    ("chinese_quality", "zh", CHAPTERS * 2 + CHINESE * 5 + ("\n" + CHINESE) * 9, "chinese_contents"),
    ("chinese_quality", "zh", "姓名 年龄 城市 得分。\n" * 9, "chinese_table"),
    (
        "chinese_quality",
        "zh",
        "我们用a和b在这里学c，又用d和e在那里做f的事情；大家g都说h是这样的i。",
        "chinese_switches",
    ),
]


@pytest.mark.parametrize(("name", "language", "text", "rule"), CASES)
def test_each_set(name, language: str, text: str, rule: str) -> None:
    config = CurationConfig(quality_sets=(name,))
    assert decisions(statistics([text], [language]), [language], config).tolist() == [rule]


FINEWEB = CleaningConfig(quality_sets=("fineweb_quality",))


def test_sets_are_switched_by_recipe_and_source() -> None:
    config = CurationConfig(quality_sets=("light", "c4_quality"))
    assert {rule.set for rule in rules_of(CurationConfig())} == {"light"}
    assert {rule.set for rule in rules_of(config)} == {"light", "c4_quality"}
    source = JsonlSource(kind="jsonl", name="web", licence="unknown", path="x", curation=FINEWEB)
    assert {rule.set for rule in rules_of(config.of(source))} == {"fineweb_quality"}
    assert config.of(source.model_copy(update={"curation": CleaningConfig()})) == config


def test_thresholds_are_the_languages_own() -> None:
    config = CurationConfig.model_validate({"quality_sets": ["c4_quality"], "c4_quality": {"zh": {"min_sentences": 4}}})
    counts = statistics([CHINESE + "它需要大量的数据。", PROSE], ["zh", "en"])
    assert decisions(counts, ["zh", "en"], config).tolist() == ["c4_sentences", "kept"]
    assert config.c4_quality.en.min_sentences == 5


def test_every_threshold_is_read_by_one_rule() -> None:
    """No option that nobody reads."""
    config = CurationConfig()
    for name in {rule.set for rule in RULES}:
        fields = set(type(getattr(config, name).zh).model_fields)
        assert fields == {rule.threshold for rule in RULES if rule.set == name}
