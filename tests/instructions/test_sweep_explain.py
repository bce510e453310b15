"""Limits of instruction rules and of scores are tried on the sidecars, and one conversation's way is told rule by rule."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lifecycle.artifacts import Published, Store, Workspace
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.instructions import quality
from lifecycle.instructions.clean import build_instructions
from lifecycle.instructions.conversations import Conversation, Message, read_conversations, write_conversations
from lifecycle.instructions.explain import explain, render
from lifecycle.instructions.rules import RULES, broken_rules, figure
from lifecycle.instructions.scores import read_scores
from lifecycle.instructions.sweep import Sidecars, find_rule, sweep
from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.instruction_rules import InstructionRules, OwnIdentity
from tests.tiny_model import tiny_tokenizer
from tests.tracking.chain import make_all, small_recipe

RULES_OF_RECIPE = InstructionRules()


def _conversation(number: int, *turns: str, source: str = "a") -> Conversation:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[place % 2], content=text) for place, text in enumerate(turns))  # type: ignore[arg-type]
    name = f"c{number}"
    return Conversation(id=name, source=source, task="t", group=name, messages=messages, language="en", document_id=name)


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory: pytest.TempPathFactory) -> Sidecars:
    root = tmp_path_factory.mktemp("sidecars")
    places = {name: root / name for name in ("raw", "instructions", "scores", "heldout", "tokenizer")}
    for place in places.values():
        place.mkdir()
    (places["heldout"] / "groups.json").write_text(json.dumps({"groups": [], "documents": []}))
    tiny_tokenizer().save_pretrained(places["tokenizer"])
    rows = [_conversation(n, f"What is the number {n}?", "It is " + "a number " * n + "indeed.") for n in range(1, 9)]
    rows.append(_conversation(20, "Please tell me.", "I'm sorry, but I cannot tell you that.", source="b"))
    rows.append(
        _conversation(21, "Who are you, please?", "I am ChatGPT, and I am here to help you.", "And now?", source="b")
    )
    write_conversations(places["raw"], rows)
    files = InstructionFiles(kind="files", name="a", path="-", licence="-")
    config = InstructionsConfig(sources=(files,), max_tokens=2000, identity=OwnIdentity(name="Lumen", maker="Acme"))
    build_instructions(places["raw"], places["tokenizer"], places["heldout"], config, places["instructions"], root / "run")
    kept = read_conversations(places["instructions"])
    scores = {name: [None] * len(kept) for name in quality.SCHEMA.names} | {
        "id": [each.id for each in kept],
        "source": [each.source for each in kept],
        "language": ["en"] * len(kept),
        "difficulty": [None, *(0.1 * number for number in range(1, len(kept)))],
    }
    pq.write_table(pa.Table.from_pydict(scores, schema=quality.SCHEMA), places["scores"] / quality.FILE)
    return Sidecars(places["raw"], places["instructions"], places["scores"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_sweep_of_each_rule_counts_what_cleaning_would_keep(sidecars: Sidecars, rule):
    """At the recipe's own threshold the sweep drops exactly the conversations that cleaning sees break the rule."""
    limit = float(getattr(RULES_OF_RECIPE.en, rule.threshold))
    (step,) = sweep(sidecars, find_rule(f"{rule.name}.{rule.threshold}"), [limit])
    figures = figure(read_scores(sidecars.instructions), rule.figure)
    assert step.documents == len(figures)
    assert step.documents - step.kept == int(rule.broken(figures, np.full(len(figures), limit)).sum())


def test_samples_stand_at_the_boundary_with_their_text(sidecars: Sidecars):
    rule = find_rule("long_answer")
    lengths = [len("It is " + "a number " * n + "indeed.") for n in range(1, 9)]
    (step,) = sweep(sidecars, rule, [lengths[4]], sources=["a"])
    assert (step.kept, step.documents) == (5, 8)
    first = {dropped: next(each for each in step.boundary if each.dropped is dropped) for dropped in (True, False)}
    assert (first[True].id, first[False].id) == ("c6", "c5")
    assert first[False].text.startswith("user: What is the number 5? assistant: It is a number")


def test_a_score_is_swept_over_what_was_kept_and_scored(sidecars: Sidecars):
    kept = read_conversations(sidecars.instructions)
    steps = sweep(sidecars, find_rule("difficulty.max_difficulty"), [0.0, 0.25, 9.0])
    assert [step.kept for step in steps] == [0, 2, len(kept) - 1], "one conversation has no score"
    (nearest,) = [each for each in steps[1].boundary if each.figure == pytest.approx(0.2)]
    assert nearest.id == kept[2].id
    assert [step.kept for step in sweep(sidecars, find_rule("difficulty.min_difficulty"), [0.25])] == [len(kept) - 3]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refusals", "no rule or score named 'refusals'; rules: short_question"),
        ("refusal.min_refusal_share", "has the threshold max_refusal_share"),
        ("difficulty", r"say difficulty\.min_difficulty"),
    ],
)
def test_a_wrong_name_is_answered_with_what_there_is(name: str, says: str):
    with pytest.raises(LifecycleError, match=says):
        find_rule(name)


def test_what_was_not_measured_is_said(sidecars: Sidecars):
    with pytest.raises(LifecycleError, match=r"instructions\.scores\.judge"):
        sweep(sidecars, find_rule("judge.min_judge"), [5.0])
    with pytest.raises(LifecycleError, match="measures no scores"):
        sweep(Sidecars(sidecars.raw, sidecars.instructions, None), find_rule("perplexity.max_perplexity"), [5.0])


def test_a_conversation_is_explained_as_cleaning_decided(sidecars: Sidecars):
    table = read_scores(sidecars.instructions)
    rules = broken_rules(table, RULES_OF_RECIPE)
    for identifier, rule in zip(table["id"].to_pylist(), rules, strict=True):
        told = explain(identifier, sidecars, RULES_OF_RECIPE)
        assert next((each.rule for each in told.judgements if each.broken), None) == rule
        assert len(told.judgements) == len(RULES)
    refused = explain("c20", sidecars, RULES_OF_RECIPE)
    assert (refused.decision, refused.change, refused.scores) == ("refusal", None, {})
    renamed = explain("c21", sidecars, RULES_OF_RECIPE)
    assert renamed.decision == "kept"
    assert any("ChatGPT" in before and "Lumen" in after for before, after in renamed.change.places)
    assert renamed.scores["difficulty"] == pytest.approx(0.8)
    console = Console(width=200, record=True)
    console.print(render(renamed))
    shown = console.export_text()
    assert "cleaned: kept" in shown
    assert "difficulty 0.8" in shown
    with pytest.raises(LifecycleError, match="no conversation has the id 'c99'"):
        explain("c99", sidecars, RULES_OF_RECIPE)


def test_conversations_of_a_later_round_are_asked_for_by_its_number(sidecars: Sidecars, tmp_path: Path):
    recipe, store = small_recipe(tmp_path, lambda text: text + SECOND_ROUND), Store(tmp_path / "store")
    build = {"raw_instructions_r2": copies(sidecars.raw), "instructions_r2": copies(sidecars.instructions)}
    made = make_all(recipe, store, until="instructions_r2", build=build)["instructions_r2"]
    assert isinstance(made, Published)
    reference = store.reference_path(recipe.name, "instructions_r2")
    reference.parent.mkdir(parents=True)
    reference.write_text(made.artifact.model_dump_json(), encoding="utf-8")
    options = ["--instructions", "--recipe", str(tmp_path / "recipe.yaml"), "--home", str(tmp_path)]
    told = CliRunner().invoke(app, ["explain", "c20", "--round", "2", *options])
    assert "refusal" in told.stdout
    swept = CliRunner().invoke(app, ["sweep", "refusal.max_refusal_share", "0", "1", "--json", "--round", "2", *options])
    assert json.loads(swept.stdout)[0]["kept"] < json.loads(swept.stdout)[-1]["kept"]
    none = CliRunner().invoke(app, ["explain", "c20", "--round", "3", *options])
    assert "adds nothing in this round" in str(none.exception)
    for command in (["explain", "c20"], ["sweep", "refusal.max_refusal_share", "0", "1"]):
        corpus = CliRunner().invoke(app, [*command, "--round", "2", *options[1:]])
        assert corpus.exit_code == 2, "an option that nothing reads"
        assert "--instructions" in corpus.output


SECOND_ROUND = """rounds: 3
added_instructions: [{round: 2, steps: 7, sources: [{kind: files, name: more, path: more.jsonl, licence: none}]}]
"""


def copies(directory: Path) -> Callable[[Workspace], dict[str, Any]]:
    """A stage whose files are those of `directory`."""

    def build(workspace: Workspace) -> dict[str, Any]:
        shutil.copytree(directory, workspace.out, dirs_exist_ok=True)
        return {}

    return build
