"""Judges: a score of each candidate in its own place, whatever a judge fails to say."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForSequenceClassification

from lifecycle.endpoint.client import Endpoint
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Message
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.preferences.agreement import agreements
from lifecycle.preferences.asked import Asked, Candidate, Judgement, combined
from lifecycle.preferences.judges import reward
from lifecycle.preferences.judges.endpoint import judge_by_endpoint, outcome, verdict
from lifecycle.preferences.judges.reward import judge_by_reward, win_probabilities
from lifecycle.preferences.judges.rules import judge_by_rules
from lifecycle.preferences.kept import KEY
from lifecycle.preferences.rewards import load_reward_model, rewards_of
from lifecycle.preferences.sampling import Programs, rewarding
from lifecycle.preferences.table import Answer
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.instruction_rules import InstructionRules, OwnIdentity
from lifecycle.recipe.preferences import EndpointJudge, RewardJudge, RuleJudge
from tests.chat_server import Reply, chat_server, said
from tests.tiny_model import tiny_model

SCORE = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def asked(id: str, question: str, answers: list[str], reference: str = "", **changes: Any) -> Asked:
    candidates = tuple(Candidate("sft", number, 1.0, Answer(text, 5, True)) for number, text in enumerate(answers))
    values = {"task": "general", "language": "en", **changes}
    return Asked(id, (Message(role="user", content=question),), reference, candidates=candidates, **values)


def test_rules_judge_each_answer_by_itself() -> None:
    english = asked("a", "How far is the moon?", ["It is about 384,400 km away.", "I am ChatGPT, made by OpenAI."])
    chinese = asked(
        "b", "月亮离我们有多远？请说明", ["月亮离地球大约三十八万公里。", "抱歉，我不能回答这个问题。"], language="zh"
    )
    sums = asked("c", "What is 3 + 4?", ["The answer is 7.", "The answer is 8."], "3 + 4 = 7\n#### 7")
    loops = asked("d", "Say something.", ["A line of text.", "over and over again " * 20])
    judged = judge_by_rules(
        [english, chinese, sums, loops], RuleJudge(kind="rules"), InstructionRules(), OwnIdentity(name="Lumen", maker="us")
    )
    assert all(row[0] == 1.0 for row in judged.scores)
    assert all(row[1] is not None and row[1] < 1 for row in judged.scores)
    broken = judged.facts["broken"]
    assert broken["identity"] == broken["refusal"] == broken["wrong_number"] == broken["repetition"] == 1


def prefers_longer(body: dict[str, Any], _: int) -> Reply:
    text = body["messages"][0]["content"]
    first, second = (text.split(f"<answer_{name}>\n")[1].split(f"\n</answer_{name}>")[0] for name in "AB")
    if "odd" in first + second:
        return said("I cannot decide; [[D]]")
    if "vain" in first:
        return said("The first one, of course. [[A]]")
    better = "A" if len(first) > len(second) else "B" if len(second) > len(first) else "C"
    return said(f"Not [[C]] by any means?\n[[{better}]]")


def endpoint_judge(root: Path, questions: list[Asked]) -> Judgement:
    config = EndpointJudge(kind="endpoint", endpoint=EndpointConfig(model="judge-1", attempts=2))
    with chat_server(prefers_longer) as server:
        endpoint = Endpoint(config.endpoint, server.address, root, backoff=0.01)
        return judge_by_endpoint(questions, config, config.read_rubric(), endpoint)


def test_the_endpoint_is_asked_in_both_orders_and_what_it_fails_to_say_moves_nothing(tmp_path: Path) -> None:
    """A reply without a verdict once shifted every verdict behind it to the pair before."""
    judged = endpoint_judge(
        tmp_path,
        [
            asked("a", "One?", ["short", "a longer one"]),
            asked("b", "Two?", ["odd", "a longer one", "mid one"]),
            asked("c", "Three?", ["equal one", "equal two", "vain"]),
            asked("d", "Four?", ["the longest of all", "x", "x"]),
        ],
    )
    assert judged.scores == [[0.0, 1.0], [None, 1.0, 0.0], [0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]
    facts = judged.facts
    assert (facts["comparisons"], facts["no_verdict"], facts["ties"], facts["decided"]) == (8, 2, 3, 3)
    assert facts["decided_by_order"] == 2
    assert facts["requests"] == 16
    assert "127.0.0.1" not in json.dumps(facts)


def test_an_answer_that_only_wins_where_it_stands_first_is_a_tie() -> None:
    assert [outcome("A", "A"), outcome("B", "B"), outcome("A", "B"), outcome("B", "A"), outcome("C", "B")] == [
        0.5,
        0.5,
        1.0,
        0.0,
        0.5,
    ]
    assert outcome(None, "B") is None
    assert verdict("First [[A]], then again [[B]].") == "B"
    assert verdict("[[a]] A is better") is None


@pytest.fixture(scope="module")
def reward_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tiny_model(tmp_path_factory.mktemp("reward"))
    torch.manual_seed(1)
    model = LlamaForSequenceClassification.from_pretrained(directory, num_labels=1)
    torch.nn.init.normal_(model.score.weight, std=1.0)
    model.save_pretrained(directory)
    return directory


def test_rewards_do_not_depend_on_the_batch(reward_directory: Path) -> None:
    """Padding once decided at which token the reward was read."""
    model, tokenizer = load_reward_model(reward_directory)
    rows = [
        {
            "prompt": [{"role": "user", "content": "what " * (number % 5 + 1)}],
            "answer": "Return the path. " * (number % 4 + 1),
        }
        for number in range(9)
    ]
    alone = rewards_of(model, tokenizer, rows, 128, 1)
    together = rewards_of(model, tokenizer, rows, 128, 16)
    assert alone == pytest.approx(together, abs=1e-4)  # type: ignore[arg-type]
    assert len(set(alone)) > 1
    long = [*rows, {"prompt": rows[0]["prompt"], "answer": "Return " * 200}]
    assert rewards_of(model, tokenizer, long, 128, 16)[:9] == pytest.approx(together, abs=1e-4)  # type: ignore[arg-type]
    assert rewards_of(model, tokenizer, long, 128, 16)[9] is None


def test_a_stock_template_is_rendered_as_it_is(reward_directory: Path) -> None:
    """Public reward models mark no answer in their template."""
    model, tokenizer = load_reward_model(reward_directory)
    row = {"prompt": [{"role": "user", "content": "what?"}], "answer": "Return the path."}
    marked = rewards_of(model, tokenizer, [row], 128, 1)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
        "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
    )
    assert rewards_of(model, tokenizer, [row], 128, 1) == pytest.approx(marked, abs=1e-4)  # type: ignore[arg-type]


def test_a_language_model_is_no_reward_model(model_directory: Path) -> None:
    """transformers gives it a random head and a warning; its rewards would be noise."""
    with pytest.raises(DataError, match="not a reward model"):
        load_reward_model(model_directory)


def test_the_program_scores_an_answer_once(tmp_path: Path, reward_directory: Path) -> None:
    jobs: list[TrainingJob] = []

    def launch(job: TrainingJob) -> dict[str, Any]:
        jobs.append(job)
        reward.main(job)
        return {}

    programs = Programs(launch, tmp_path / "run", "f" * 32, tmp_path / "cache")
    config = RewardJudge(kind="reward_model", path="x", max_length=64, batch=4)
    one = asked("a", "One?", ["Return the path.", "Raise an error.", "Return " * 100])
    judged = judge_by_reward([one], config, rewarding(config, ModelFolder(reward_directory, "r"), programs))
    assert judged.scores[0][2] is None
    assert judged.scores[0][0] == pytest.approx(1 - (judged.scores[0][1] or 0))
    more = [one, asked("b", "Two?", ["Return the path.", "No."])]
    again = judge_by_reward(more, config, rewarding(config, ModelFolder(reward_directory, "r"), programs))
    assert again.scores[0] == judged.scores[0]
    assert json.loads((Path(jobs[-1].run_dir) / "result.json").read_text())["kept"] == 3
    judge_by_reward([one], config, rewarding(config, ModelFolder(reward_directory, "another"), programs))
    assert json.loads((Path(jobs[-1].run_dir) / "result.json").read_text())["kept"] == 0


def test_rewards_become_the_chance_to_win() -> None:
    first, second = win_probabilities([2.0, 0.0])
    assert first == pytest.approx(1 / (1 + torch.exp(torch.tensor(-2.0)).item()))
    assert (first or 0) + (second or 0) == pytest.approx(1)
    assert win_probabilities([1.0, None, 1.0]) == [0.5, None, 0.5]
    assert win_probabilities([1e9, -1e9]) == [1.0, 0.0]
    assert win_probabilities([3.0, None]) == [None, None]
    one = asked("a", "One?", ["good", "bad", "long"])

    def rewarding(rows: list[dict[str, Any]]) -> dict[str, float | None]:
        return {row[KEY]: {"good": 1.0, "bad": -1.0, "long": None}[row["answer"]] for row in rows}

    judged = judge_by_reward([one], RewardJudge(kind="reward_model", path="x"), rewarding)
    assert judged.scores[0][2] is None
    assert judged.facts["no_verdict"] == 1


@given(st.lists(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_mean_needs_every_judge_that_counts(rows: list[list[tuple[float | None, float | None]]]) -> None:
    """A missing verdict must neither count as 0 nor let one judge alone decide."""
    left, right = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    judgements = [Judgement("left", 1.0, left), Judgement("right", 3.0, right)]
    for row, mixed in zip(rows, combined(judgements), strict=True):
        expected = [None if one is None or other is None else (one + 3 * other) / 4 for one, other in row]
        assert mixed == expected
    assert combined([Judgement("left", 2.0, left), Judgement("right", 0.0, right)]) == left
    for each in agreements(judgements):
        assert 0 <= each.interval[0] <= each.agreed <= each.interval[1] <= 1
        both = [[pair for pair in row if None not in pair] for row in rows]
        assert each.comparisons == sum(len(row) * (len(row) - 1) // 2 for row in both)
    for each in agreements([Judgement("left", 1.0, left), Judgement("again", 1.0, left)]):
        assert each.agreed == 1.0
        assert each.kappa in (None, pytest.approx(1.0))


def test_kappa_is_that_of_the_textbook() -> None:
    """Of 4 comparisons 3 agree; the chance of it is 0.375 + 0.0 + 0.125: kappa = (0.75 - 0.5) / (1 - 0.5)."""
    one = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    other = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    (found,) = agreements([Judgement("one", 1.0, one), Judgement("other", 1.0, other)])  # type: ignore[arg-type]
    assert (found.comparisons, found.agreed) == (4, 0.75)
    assert found.kappa == pytest.approx(0.5)
