"""The figures of a conversation and the rules over them: what each is for is caught, and its harmless neighbour is not."""

from pathlib import Path

import pytest

from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.rules import RULES, broken_rules
from lifecycle.instructions.scores import FIGURES, score
from lifecycle.recipe.curation import Blocklist
from lifecycle.recipe.instruction_rules import InstructionRules, InstructionThresholds

PROSE = (
    "In the early morning the old fisherman rowed out past the harbour wall and waited for the light. His nephew, who was "
    "eleven, held the lantern and counted gulls. By noon they had caught nothing but weed; a storm rose in the west, "
    "and neither of them wanted to be the first to speak of going home. "
)


def _conversation(question: str, answer: str) -> Conversation:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(id="i", source="s", task="t", group="g", messages=messages, document_id="d")


def _broken(question: str, answer: str, lists: tuple[Blocklist, ...] = ()) -> str | None:
    return broken_rules(score([_conversation(question, answer)], lists), InstructionRules())[0]


@pytest.mark.parametrize(
    ("rule", "question", "answer"),
    [
        ("short_question", "?", "What do you mean?"),
        ("refusal", "Sing.", "I'm sorry, but I can't sing."),
        ("refusal", "请唱歌。", "很抱歉，我无法唱歌。"),
        ("disclaimer", "Which is nicer?", "As an AI language model, I like both of them."),
        ("disclaimer", "哪个更好？", "我认为都不错，但作为一个人工智能，我没有偏好。"),
        ("echo", "Draw a looping picture of a cat.", "Draw a looping picture of a cat."),
        ("cut_off", "Tell me a story.", PROSE + "And then he saw the"),
        ("cut_off", "写一段代码。", "```python\nprint(1)\n"),
        ("cut_off", "有哪些水果？", "常见的水果有苹果、香蕉、"),
        ("answer_language", "请用三句话介绍一下北京的历史和文化。", PROSE),
        ("answer_language", PROSE, "北京是中国的首都，有三千多年的建城史和八百多年的建都史，是一座文化名城。" * 2),
        ("repetition", "Tell me a story.", "He went to the house by the river and then came back home. " * 6),
        ("broken_characters", "Tell me.", "It is a caf\ufffd in the town."),
        ("placeholder", "Who is it?", "It is {{name}}."),
        ("placeholder", "Draw it.", "<nooutput> This cannot be drawn."),
        (None, "Is it so?", "Yes"),
        (None, "对吗？", "是"),
        (None, "Tell me a story.", PROSE),
        (None, "Translate into English: 北京是中国的首都。", "Beijing is the capital of China."),
        (None, "请把这段话翻译成英文：北京是中国的首都，也是文化中心。", PROSE),
        (None, "改正这句话的语法：I has went to the house yesterday.", PROSE),
        (None, "What is ChatGPT?", "It is a chatbot that refuses some questions and says that it is sorry."),
        (None, "Count.", "1 2 3 4 5 6 7 8 9 10"),
    ],
)
def test_what_a_rule_is_for_is_caught_and_its_neighbour_is_not(rule: str | None, question: str, answer: str):
    assert _broken(question, answer) == rule


def test_the_users_own_list_has_a_rule_of_its_own(tmp_path: Path):
    (tmp_path / "words.txt").write_text("casino\n赌场\n", encoding="utf-8")
    lists = (Blocklist(category="gambling", path=str(tmp_path / "words.txt"), min_hits=1, min_share=0),)
    assert _broken("去哪里玩？", "去澳门的赌场。", lists) == "sensitive:gambling"
    assert _broken("去哪里玩？", "去公园。", lists) is None


def test_a_language_has_thresholds_of_its_own():
    rules = InstructionRules(en=InstructionThresholds(min_answer_characters=10))
    table = score([_conversation("Is it so?", "Yes"), _conversation("是不是真的？", "是的")], ())
    assert table["language"].to_pylist() == ["en", "zh"]
    assert broken_rules(table, rules).tolist() == ["short_answer", None]


def test_every_rule_reads_a_figure_of_the_sidecar_and_a_threshold_of_the_recipe():
    """A rule that names neither would fail only when somebody's data reaches it."""
    assert {rule.figure for rule in RULES} == set(FIGURES)
    assert {rule.threshold for rule in RULES} == set(InstructionThresholds.model_fields)
