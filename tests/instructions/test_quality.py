"""The stage `instruction_scores`: a row for each conversation in order, a reason where there is no score, no work twice."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from lifecycle.endpoint.variables import KEY, URL
from lifecycle.instructions import score_program, units
from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.instructions.quality import build_instruction_scores, difficulties, read_instruction_scores
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.instruction_scores import InstructionScores, JudgeScores, LinearScores
from lifecycle.stages import INSTRUCTION_SCORES, INSTRUCTIONS, stages_of
from lifecycle.tokens.templates import read_template
from tests.chat_server import KEY as PLANTED
from tests.chat_server import chat_server, said
from tests.instructions.test_linear import labelled_files
from tests.tiny_model import tiny_model, tiny_tokenizer
from tests.tracking.chain import small_recipe


def _conversation(number: int, *turns: str, task: str = "t") -> Conversation:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[place % 2], content=text) for place, text in enumerate(turns))  # type: ignore[arg-type]
    return Conversation(
        id=f"c{number}",
        source="s",
        task=task,
        group=f"g{number}",
        messages=messages,
        language="en",
        document_id=f"c{number}",
    )


ROWS = [
    _conversation(0, "What is it?", "A function that returns a path."),
    _conversation(1, "too long " * 200, "yes"),
    _conversation(2, "Say nothing.", ""),
    _conversation(3, "one?", "a class", "two?", "a module"),
    _conversation(4, "返回什么？", "文件的路径"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, out = tiny_tokenizer(), tmp_path_factory.mktemp("tokenizer")
    made.chat_template = read_template("chatml")
    made.save_pretrained(out)
    return out


def _run(job: TrainingJob) -> dict[str, Any]:
    score_program.main(job)
    return orjson.loads((Path(job.run_dir) / "result.json").read_bytes())


def _build(root: Path, rows: list[Conversation], model: Path, tokenizer: Path, config=InstructionScores(), launch=_run):
    for name in ("instructions", "out", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    write_conversations(root / "instructions", rows)
    scored = ModelFolder(model, "digest")
    places = root / "results", root / "out", root / "run"
    facts = build_instruction_scores(root / "instructions", tokenizer, scored, config, *places, launch)
    return facts, read_instruction_scores(root / "out")


def test_every_conversation_has_its_row_and_those_without_scores_a_reason(tmp_path: Path, model: Path, tokenizer: Path):
    facts, table = _build(tmp_path, ROWS, model, tokenizer)
    assert table["id"].to_pylist() == [row.id for row in ROWS]
    assert table["unscored"].to_pylist() == [None, "too_long", "no_answer_tokens", None, None]
    assert facts["unscored"] == {"no_answer_tokens": 1, "too_long": 1}
    assert (facts["rows"], facts["scored"]) == (5, 3)
    assert facts["scoring"]["tokens_per_second"] > 0
    assert table["turns"].to_pylist() == [1, 1, 1, 2, 1]
    assert table["question_characters"].to_pylist()[3] == len("one?two?")
    assert table["answer_characters"].to_pylist()[4] == len("文件的路径")
    assert all(table["answer_tokens"].to_pylist()[number] > 0 for number in (0, 1, 3, 4))
    for name in ("loss_answer", "loss_answer_alone", "difficulty", "perplexity"):
        assert [value is None for value in table[name].to_pylist()] == [False, True, True, False, False], name
    scored = table.filter(table["unscored"].is_null())
    given, alone = scored["loss_answer"].to_numpy(), scored["loss_answer_alone"].to_numpy()
    np.testing.assert_allclose(scored["difficulty"].to_numpy(), given / alone)
    np.testing.assert_allclose(scored["perplexity"].to_numpy(), np.exp(given))
    assert difficulties(tmp_path / "out")["c1"] is None
    plots = sorted(path.name for path in (tmp_path / "run" / "plots").iterdir())
    assert plots == ["difficulty.png", "difficulty_and_length.png"]
    hardest = max((value, name) for name, value in difficulties(tmp_path / "out").items() if value is not None)
    assert f"| {hardest[0]:.3f} | {hardest[1]} |" in facts["hardest"].splitlines()[2]
    assert facts["languages"]["en"]["conversations"] == 3


def test_a_killed_run_scores_only_what_is_missing_and_gives_the_same_bytes(
    tmp_path: Path, model: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(units, "UNIT", 2)
    rows = [_conversation(number, f"What is {number}?", f"The number {number * 7}.") for number in range(7)]
    _build(tmp_path / "whole", rows, model, tokenizer)
    killed, scored = tmp_path / "killed", []
    losses = score_program.answer_losses

    def dies(*arguments: Any) -> Any:
        scored.append(1)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(score_program, "answer_losses", dies)
    with pytest.raises(KeyboardInterrupt):
        _build(killed, rows, model, tokenizer)
    facts, _ = _build(killed, rows, model, tokenizer)
    assert (len(scored), facts["scoring"]["units_reused"]) == (5, 2), "three before the end, one of them lost, two after it"
    assert (killed / "out" / "scores.parquet").read_bytes() == (tmp_path / "whole" / "out" / "scores.parquet").read_bytes()


def test_a_given_model_reads_with_its_own_tokenizer(tmp_path: Path, model: Path, tokenizer: Path):
    config = InstructionScores(model=StartingModel(path=str(model)))
    _, own = _build(tmp_path / "own", ROWS[:1], model, tokenizer, config)
    _, base = _build(tmp_path / "base", ROWS[:1], model, tokenizer)
    assert own["difficulty"].to_pylist() == base["difficulty"].to_pylist(), "these two tokenizers are the same"


def test_judge_and_linear_scorer_are_columns_beside_the_others(
    tmp_path: Path, model: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {name: (labelled_files(tmp_path, name, bad=name == "bad"),) for name in ("good", "bad")}
    judge = JudgeScores(endpoint=EndpointConfig(model="judge-1"), tolerance=0.7)
    config = InstructionScores(judge=judge, linear=LinearScores(**files, bucket_bits=10))
    assert set(config.read()) == {"good", "bad"}
    with chat_server(lambda body, _: said("Score: 4" if "returns a path" in str(body) else "well")) as server:
        monkeypatch.setenv(URL, server.address.url)
        monkeypatch.setenv(KEY, PLANTED)
        facts, table = _build(tmp_path, [ROWS[0], ROWS[2], ROWS[4]], model, tokenizer, config)
    assert table["judge"].to_pylist() == [4.0, None, None]
    assert table["judge_missing"].to_pylist() == [None, "unreadable_grade", "unreadable_grade"]
    assert 0 <= table["linear"].to_pylist()[0] <= 1
    assert (facts["judge"]["graded"], facts["linear"]["en_heldout"] > 0) == (1, True)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PLANTED.encode() not in written, "the key stays in the environment"


def test_the_stage_is_in_the_graph_of_a_recipe_that_asks(tmp_path: Path):
    def recipe(scores: str, phases: str = ""):
        return small_recipe(
            tmp_path,
            lambda text: text.replace("max_tokens: 64", f"max_tokens: 64\n{scores}").replace("sft:", f"sft:{phases}"),
        )

    plain, asked = recipe(""), recipe("  scores: {}")
    assert "instruction_scores" not in [stage.name for stage in stages_of(plain)]
    assert INSTRUCTIONS.identity(plain, None) == INSTRUCTIONS.identity(asked, None)
    assert INSTRUCTION_SCORES in stages_of(asked)
    given = recipe("  scores: {model: {path: /somewhere}}", "\n  phases: {by: difficulty}")
    inputs = {stage.name: stage.inputs for stage in stages_of(given)}
    assert inputs["instruction_scores"] == ("instructions", "tokenizer")
    assert inputs["sft_memmap"] == ("instructions", "tokenizer", "instruction_scores")
    by_length = recipe("  scores: {}", "\n  phases: {}")
    assert "instruction_scores" not in next(each.inputs for each in stages_of(by_length) if each.name == "sft_memmap")
