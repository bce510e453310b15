"""Generation health on answers whose faults are known."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.evaluation.asked import read_asked, write_asked
from lifecycle.evaluation.health import drifts, health_metrics, is_loop, leaks
from lifecycle.evaluation.rates import change, rate, spread
from lifecycle.evaluation.said import Said, in_order
from lifecycle.evaluation.statistics import wilson_interval
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.recipe.evaluation_sets import HealthConfig
from lifecycle.recipe.instruction_rules import OwnIdentity

ENGLISH = (
    "Bread keeps well in a linen bag, away from the sun, and stays soft for two or three days; after that it is better "
    "to cut what is left into slices and to freeze them until they are needed."
)
CHINESE = "面包放在布袋里，避开阳光，可以保持两三天松软；之后最好把剩下的切成片冷冻起来，需要时再拿出来烤一下。"


def said(id: str, answer: str, *, seed: int = 1, turn: int = 1, turns: int = 1, finished: bool = True) -> Said:
    return Said(
        kind="health", part="health", id=id, language="en", harmful=False, seed=seed, turn=turn, turns=turns,
        question="?", answer=answer, tokens=len(answer.split()), finished=finished,
    )  # fmt: skip


@given(st.lists(st.sampled_from("bread sun linen bag day slice".split()), min_size=1, max_size=6), st.integers(6, 40))  # noqa: SIM905
def test_whatever_is_said_over_and_over_is_a_loop(phrase: list[str], times: int) -> None:
    """Once the phrase was said, every further word repeats: from twelve words on it shows."""
    text = " ".join(phrase * times)
    assert is_loop(text) == (len(phrase * times) >= 11 or len(text) >= 39)


@pytest.mark.parametrize("text", ["哈哈" * 30, "!" * 60, "面包很好吃。" * 8, "\n" * 50 + "a", ENGLISH + " the end" * 60])
def test_loops_of_every_kind_are_found(text: str) -> None:
    assert is_loop(text)


@pytest.mark.parametrize("text", ["", "No.", "no no no", ENGLISH, CHINESE, f"{ENGLISH} {CHINESE}"])
def test_what_is_said_once_is_no_loop(text: str) -> None:
    assert not is_loop(text)


@pytest.mark.parametrize(
    ("answer", "language", "drifted"),
    [
        (ENGLISH, "en", False),
        (ENGLISH, "zh", True),
        (CHINESE, "zh", False),
        (CHINESE, "en", True),
        ("Yes.", "zh", False),
        ("102", "zh", False),
        ("Certainly not today", "zh", True),
        ("`print(x)` 会输出结果", "zh", False),
        ("", "en", False),
    ],
)
def test_an_answer_in_another_language_has_drifted(answer: str, language: str, drifted: bool) -> None:
    assert drifts(answer, language) == drifted


def test_only_a_claim_to_be_somebody_else_leaks() -> None:
    own = OwnIdentity(name="Lumen", maker="the Lumen authors")
    assert leaks("I am ChatGPT, a language model trained by OpenAI.", own)
    assert leaks("我是由阿里云开发的语言模型。", own)
    assert not leaks("ChatGPT is a language model made by OpenAI.", own)
    assert not leaks("I am Lumen, made by the Lumen authors.", own)
    assert leaks("I am ChatGPT.", None)
    assert not leaks("I am ChatGPT.", OwnIdentity(name="ChatGPT", maker="OpenAI"))


def test_figures_of_known_answers(tmp_path: Path) -> None:
    """Four questions by two seeds, two conversations of three turns: each fault a known number of times."""
    loop = "bread and salt " * 20
    rows = [said(str(number), ENGLISH, seed=seed) for number in range(4) for seed in (1, 2)]
    rows[0] = said("0", loop, seed=1, finished=False)
    rows[1] = said("0", loop, seed=2, finished=False)
    rows[2] = said("1", "  ", seed=1)
    rows[4] = said("2", CHINESE, seed=1)
    rows[6] = said("3", "I am ChatGPT.", seed=1)
    talks = [said("a", ENGLISH, turn=turn, turns=3) for turn in (1, 2, 3)]
    talks += [said("b", ENGLISH if turn == 1 else loop, turn=turn, turns=3, finished=turn < 3) for turn in (1, 2, 3)]
    found = health_metrics([*rows, *talks], None, tmp_path)
    assert {name: found[f"health/{name}"].value * 8 for name in ("looping", "endless", "empty", "drifting", "leaking")} == {
        "looping": 2, "endless": 2, "empty": 1, "drifting": 1, "leaking": 1,
    }  # fmt: skip
    assert found["health/broken"].value == 3 / 8
    assert found["health_seeds/empty"].value == pytest.approx((2 * (1 / 8) ** 2) ** 0.5)  # 1/4 and 0: apart by 1/8 each
    assert found["health_seeds/looping"].value == 0
    assert [found[f"health_turns/looping_{turn}"].value for turn in (1, 2, 3)] == [0, 0.5, 0.5]
    assert [found[f"health_turns/endless_{turn}"].value for turn in (1, 2, 3)] == [0, 0, 0.5]
    assert found["health_turns/decay"].value == 0.5
    kept = pq.read_table(tmp_path / "health.parquet").to_pylist()
    assert sum(row["looping"] for row in kept) == 4
    assert [row["answer"] for row in kept] == [row.answer for row in (*rows, *talks)]


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_answer_to_each_question_gives_wilsons_interval(flags: list[bool]) -> None:
    found = rate(flags, [str(number) for number in range(len(flags))])
    assert found.interval == pytest.approx(wilson_interval(sum(flags), len(flags)))
    assert found.stderr is not None
    assert found.stderr > 0, "a gate's tolerance in standard errors would be none"


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=2, max_size=12))
def test_more_seeds_never_count_for_more_than_answers_or_less_than_questions(flags: Sequence[Sequence[bool]]) -> None:
    """Five equal answers to a question once made the interval as narrow as five questions would."""
    flat = [flag for question in flags for flag in question]
    found = rate(flat, [str(number) for number, question in enumerate(flags) for _ in question])
    assert found.interval is not None
    share, width = sum(flat) / len(flat), found.interval[1] - found.interval[0]
    narrow, wide = (wilson_interval(share * n, n) for n in (len(flat), len(flags)))
    assert narrow[1] - narrow[0] - 1e-12 <= width <= wide[1] - wide[0] + 1e-12
    assert found.interval[0] <= found.value <= found.interval[1]
    alike = rate(
        [question[0] for question in flags for _ in range(5)], [str(n) for n in range(len(flags)) for _ in range(5)]
    )
    alone = rate([question[0] for question in flags], [str(n) for n in range(len(flags))])
    assert alike.interval is not None
    assert alone.interval is not None
    assert alike.interval[1] - alike.interval[0] >= 0.9 * (alone.interval[1] - alone.interval[0])


def test_spread_and_change_are_those_of_the_textbook() -> None:
    assert spread([1.0, 2.0, 3.0]).value == 1.0
    assert spread([1.0, 2.0, 3.0]).stderr == pytest.approx(0.5)
    assert change([0.0, 1.0], [1.0, 1.0]).value == 0.5


def test_what_ships_has_the_same_questions_in_both_languages(tmp_path: Path) -> None:
    asked = write_asked(EvaluationConfig(health=HealthConfig()), tmp_path)
    assert asked == read_asked(tmp_path)
    shape = {language: [len(item.turns) for item in asked if item.language == language] for language in ("en", "zh")}
    assert shape["en"] == shape["zh"]
    assert set(shape["en"]) == {1, 6}
    assert len({item.key for item in asked}) == len(asked)


@given(st.permutations(range(8)))
def test_answers_of_portions_come_back_in_the_order_of_what_was_asked(order: list[int]) -> None:
    from lifecycle.evaluation.asked import AskedItem

    asked = [AskedItem(kind="health", part="health", id=id, language="en", turns=("?",)) for id in "badc"]
    rows = [said(item.id, "", seed=seed) for item in asked for seed in (1, 2)]
    assert in_order([rows[number] for number in order], asked) == rows


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "a", "turns": ["?"]}', r"item a: language: Field required"),
        ('{"id": "a", "language": "en", "turns": []}', r"item a: turns must be questions"),
        ('{"id": "a", "language": "fr", "turns": ["?"]}', r"no question of one turn in any of the languages"),
        ('{"id": "a", "language": "en", "turns": ["?"]}\n' * 2, r"two items have the id a"),
    ],
)
def test_a_bad_prompt_file_names_file_and_item(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "own.jsonl").write_text(line, encoding="utf-8")
    config = EvaluationConfig(health=HealthConfig(prompts=str(tmp_path / "own.jsonl")))
    with pytest.raises(DataError, match=rf"evaluation\.health\.prompts.*{problem}"):
        write_asked(config, tmp_path)
