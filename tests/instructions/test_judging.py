"""The judge's column, against a real endpoint on this machine that limits, fails and talks nonsense."""

from pathlib import Path
from typing import Any

import pytest

from lifecycle.endpoint.client import Endpoint
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.judging import Grade, judge, read_grade
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.instruction_scores import InstructionScores, JudgeScores
from lifecycle.stages import INSTRUCTION_SCORES
from tests.chat_server import ChatServer, Reply, chat_server, said
from tests.tracking.chain import small_recipe

CONFIG = JudgeScores(
    endpoint=EndpointConfig(model="judge-1", input_price=2.0, output_price=8.0, attempts=3),
    tolerance=0.7,
    max_characters=400,
)


def _conversation(number: int, answer: str, language: str = "en") -> Conversation:
    messages = (Message(role="user", content=f"Question {number}?"), Message(role="assistant", content=answer))
    name = f"c{number}"
    return Conversation(id=name, source="s", task="t", group=name, messages=messages, language=language, document_id=name)


ROWS = [
    _conversation(0, "fine"),
    _conversation(1, "limited at first"),
    _conversation(2, "the server fails at first"),
    _conversation(3, "the server always fails"),
    _conversation(4, "nonsense"),
    _conversation(5, "off the scale"),
    _conversation(6, "x" * 500),
    _conversation(7, "不错", "zh"),
    _conversation(8, "refused"),
]


def _behaviour(body: dict[str, Any], times: int) -> Reply:
    text = body["messages"][-1]["content"]
    if "always fails" in text or ("fails at first" in text and not times):
        return Reply(500, b"oops")
    if "limited" in text and not times:
        return Reply(429, headers={"Retry-After": "0"})
    if "refused" in text:
        return Reply(400, b"{}")
    if "nonsense" in text:
        return said("As a judge I would say: seven!")
    if "off the scale" in text:
        return said("Score: 11")
    return said("A score: 3 at first sight, but more.\n**Score:** 8.5" if "Question" in text else "?", 100, 10)


def _judged(
    rows: list[Conversation], server: ChatServer, cache: Path, config: JudgeScores = CONFIG
) -> tuple[list[Grade], dict[str, Any]]:
    return judge(rows, config, config.read_rubric(), Endpoint(config.endpoint, server.address, cache, backoff=0.01))


def test_grades_stay_with_their_conversations_and_what_has_none_says_why(tmp_path: Path):
    with chat_server(_behaviour) as server:
        grades, facts = _judged(ROWS, server, tmp_path)
        sent = len(server.bodies)
        again, later = _judged(ROWS[::-1], server, tmp_path)
    good = Grade(8.5)
    assert grades == [
        *(good, good, good, Grade(None, "status_500"), Grade(None, "unreadable_grade"), Grade(None, "off_scale")),
        *(Grade(None, "too_long"), good, Grade(None, "status_400")),
    ]
    assert (facts["graded"], facts["mean"]) == (4, 8.5), "what has no grade belongs to no mean"
    assert facts["missing"] == {"off_scale": 1, "status_400": 1, "status_500": 1, "too_long": 1, "unreadable_grade": 1}
    assert facts["cost"] == pytest.approx((4 * (100 * 2 + 10 * 8) + 2 * (10 * 2 + 5 * 8)) / 1e6)
    assert again == grades[::-1]
    assert later["kept"] == 6, "answers are paid for once, unreadable ones too"
    assert len(server.bodies) - sent == 3 + 1, "only what had no answer is sent again"


def test_a_rubric_goes_by_language_and_counts_by_its_texts(tmp_path: Path):
    own = tmp_path / "rubric.yaml"
    own.write_text("en: <<$conversation>> Score\nzh: 评分 $conversation", encoding="utf-8")
    config = CONFIG.model_copy(update={"rubric": str(own)})
    with chat_server(lambda *_: said("Score: 5")) as server:
        _judged([ROWS[0], ROWS[7], _conversation(9, "bien", "fr")], server, tmp_path / "cache", config)
    asked = sorted(body["messages"][0]["content"] for body in server.bodies)
    assert asked[0] == "<<user: Question 0?\n\nassistant: fine>> Score"
    assert asked[1] == "<<user: Question 9?\n\nassistant: bien>> Score"
    assert asked[2].startswith("评分 user")

    recipe = small_recipe(tmp_path)

    def fingerprint() -> Any:
        scores = InstructionScores(judge=config)
        instructions = recipe.instructions.model_copy(update={"scores": scores})
        return INSTRUCTION_SCORES.identity(recipe.model_copy(update={"instructions": instructions}), None)

    before = fingerprint()
    own.write_text("en: $conversation Score", encoding="utf-8")
    assert fingerprint() != before


def test_too_many_without_a_grade_end_the_stage(tmp_path: Path):
    config = CONFIG.model_copy(update={"tolerance": 0.3})
    with chat_server(_behaviour) as server, pytest.raises(DataError, match=r"4 of 8 .* more than the tolerance of 30%"):
        _judged(ROWS, server, tmp_path, config)


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("Good.\nScore: 7", 7.0),
        ("评分：6.5", 6.5),
        ("**Score**: 10", 10.0),
        ("Score: 9/10", 9.0),
        ("score: 2, no:\nScore: 3", 3.0),
        ("Score: -1", None),
        ("7", None),
    ],
)
def test_a_grade_is_the_last_one_stated(text: str, grade: float | None):
    assert read_grade(text, CONFIG).value == grade
