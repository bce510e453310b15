"""Win rates on answers whose winner is known, by reference score, by an endpoint in both orders, and by rewards."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForSequenceClassification

from lifecycle.endpoint.client import Endpoint
from lifecycle.errors import DataError
from lifecycle.evaluation.comparisons import build_comparisons, read_comparisons
from lifecycle.evaluation.results import Results
from lifecycle.evaluation.statistics import win_rate
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.preferences.asked import Asked, Judge, Judgement
from lifecycle.preferences.judges import reward
from lifecycle.preferences.judges.endpoint import judge_by_endpoint
from lifecycle.preferences.pairs import judge_of
from lifecycle.preferences.rewards import load_reward_model, rewards_of
from lifecycle.preferences.sampling import Programs
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.preferences import EndpointJudge, RewardJudge
from lifecycle.recipe.recipe import load_recipe
from tests.chat_server import chat_server, said
from tests.tiny_model import tiny_model

DEMO = Path(__file__).parents[2] / "deploy" / "recipes" / "demo.yaml"


def evaluation(directory: Path, answers: Sequence[str], scores: Sequence[float]) -> Path:
    directory.mkdir(parents=True)
    rows = [
        {"id": f"w{n}", "task": "summary", "prompt": f"Summarise {n}.", "reference": "It returns.", "answer": answer,
         "tokens": 3, "finished": True, "score": score}
        for n, (answer, score) in enumerate(zip(answers, scores, strict=True))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), directory / "answers.parquet")
    Results(model=directory.name, parameters=1, tasks={}).write(directory)
    return directory


def compare(root: Path, ours: Path, others: dict[str, Path], judges: dict[str, Judge] | None = None):
    out = root / "out"
    out.mkdir()
    build_comparisons("dpo", ours, others, lambda against: judges or {}, 7, out)
    return read_comparisons(out)[0], out


def test_the_formula_is_wins_and_half_the_ties_of_all(tmp_path: Path) -> None:
    ours = evaluation(tmp_path / "dpo", "abcdefgh", [1, 1, 1, 0.5, 0.5, 0, 0, 0.25])
    sft = evaluation(tmp_path / "sft", "ijklmnop", [0, 0, 0, 0.5, 0.5, 1, 1, 0.5])
    previous = evaluation(tmp_path / "old", "abcdefgh", [0] * 8)
    (first, second), out = compare(tmp_path, ours, {"sft": sft, "demo_dpo/3": previous})
    assert (first.won.wins, first.won.ties, first.won.losses) == (3, 2, 3)
    assert first.percent == 100 * (3 + 2 / 2) / 8
    assert first.won.interval[0] < 0.5 < first.won.interval[1]
    assert (second.against, second.by, second.won.wins, second.won.ties) == ("demo_dpo/3", "reference", 6, 2)
    rows = pq.read_table(out / "comparisons.parquet").to_pylist()
    assert [row["outcome"] for row in rows if row["against"] == "sft"] == [1, 1, 1, 0.5, 0.5, 0, 0, 0]


def test_a_judge_is_asked_in_both_orders_and_never_about_equal_answers(tmp_path: Path) -> None:
    """It prefers `zgood`, of `zfirst` whichever comes first, and says nothing of `zodd`; equal answers are a tie."""

    def behaviour(body: dict, _: int):
        text = body["messages"][0]["content"]
        if "zodd" in text:
            return said("well")
        if "zfirst" in text:
            return said("[[A]]")
        return said("[[A]]" if text.index("zgood") < text.index("zpoor") else "[[B]]")

    ours = evaluation(tmp_path / "dpo", ["zgood", "zpoor", "zgood", "zfirst", "zodd", "zsame"], [0] * 6)
    sft = evaluation(tmp_path / "sft", ["zpoor", "zgood", "zpoor", "another", "zpoor", "zsame "], [0] * 6)
    judge = EndpointJudge(kind="endpoint", endpoint=EndpointConfig(model="judge"))
    with chat_server(behaviour, key=None) as server:
        endpoint = Endpoint(judge.endpoint, server.address, tmp_path / "cache")
        rubric = judge.read_rubric()
        judges: dict[str, Judge] = {"endpoint": lambda asked: judge_by_endpoint(asked, judge, rubric, endpoint)}
        (reference, found), _ = compare(tmp_path, ours, {"sft": sft}, judges)
    assert reference.won.ties == 6
    assert (found.won.n, found.won.wins, found.won.ties, found.won.losses) == (5, 2, 2, 1)
    assert found.no_verdict == 1
    assert found.percent == 100 * (2 + 2 / 2) / 5
    assert found.facts["decided_by_order"] == 1
    assert len(server.bodies) == 2 * 5
    assert not any("zsame" in body["messages"][0]["content"] for body in server.bodies)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([0.1, 0.5, 0.9])), min_size=1, max_size=20))
def test_judged_scores_win_as_scores_do(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[float, float]]) -> None:
    """A judge whose scores are known gives the rate of those scores, and turned round one less it."""
    root = tmp_path_factory.mktemp("won")

    def judge(asked: Sequence[Asked]) -> Judgement:
        return Judgement("given", 1.0, [[float(each.answer.text[1:]) for each in one.candidates] for one in asked])

    ours = evaluation(root / "a", [f"o{one}" for one, _ in pairs], [0] * len(pairs))
    theirs = evaluation(root / "b", [f"t{other}" for _, other in pairs], [0] * len(pairs))
    (_, found), _ = compare(root, ours, {"sft": theirs}, {"given": judge})
    expected = win_rate([one for one, _ in pairs], [other for _, other in pairs], 7)
    assert found.won == expected
    (_, turned), _ = compare(root / "b", theirs, {"sft": ours}, {"given": judge})
    assert turned.won.rate == pytest.approx(1 - found.won.rate)


def test_a_real_reward_model_judges_as_its_rewards_say(tmp_path: Path) -> None:
    """Through the program that the asset starts: the answer with the higher reward wins, equal ones are not scored."""
    directory = tiny_model(tmp_path / "model")
    torch.manual_seed(1)
    classifier = LlamaForSequenceClassification.from_pretrained(directory, num_labels=1)
    torch.nn.init.normal_(classifier.score.weight, std=1.0)
    classifier.save_pretrained(directory)
    texts = ["A path.", "Raise an error.", "It returns a number.", "No."]
    ours = evaluation(tmp_path / "dpo", [*texts, "same", "Return " * 100], [0] * 6)
    sft = evaluation(tmp_path / "sft", [*texts[1:], texts[0], "same", "It."], [0] * 6)
    scored: list[int] = []

    def launch(job: TrainingJob) -> dict[str, Any]:
        reward.main(job)
        scored.append(json.loads((Path(job.run_dir) / "result.json").read_text())["rows"])
        return {}

    config = RewardJudge(kind="reward_model", max_length=64, batch=4)
    programs = Programs(launch, tmp_path / "run", "f" * 32, tmp_path / "cache")
    judge = judge_of(config, load_recipe(DEMO), ModelFolder(directory, "r"), programs)
    (_, found), out = compare(tmp_path, ours, {"sft": sft}, {"reward_model": judge})
    rows = [row for row in pq.read_table(out / "comparisons.parquet").to_pylist() if row["by"] == "reward_model"]
    model, tokenizer = load_reward_model(directory)
    for row in rows[:4]:
        asked = [{"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row[side]} for side in
                 ("answer", "other_answer")]  # fmt: skip
        one, other = rewards_of(model, tokenizer, asked, 64, 4)
        assert one is not None and other is not None  # noqa: PT018
        assert row["outcome"] == float(one > other)
    assert [row["outcome"] for row in rows[4:]] == [0.5, None], "one too long for the model has no reward"
    assert (found.won.n, found.no_verdict) == (5, 1)
    assert scored == [10], "of the answers that differ"
    assert found.facts["no_verdict"] == 1


def test_models_that_answered_other_prompts_or_none_are_not_compared(tmp_path: Path) -> None:
    ours = evaluation(tmp_path / "dpo", "ab", [0, 0])
    with pytest.raises(DataError, match=r"dpo and sft did not answer the same prompts \(2 and 1\)"):
        compare(tmp_path, ours, {"sft": evaluation(tmp_path / "sft", "a", [0])})
