"""From conversations to pairs: every prompt accounted for, nothing from the evaluation, no prompt on both sides."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.endpoint.variables import KEY, URL
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.jobs import ModelFolder
from lifecycle.ledger import Ledger
from lifecycle.preferences.candidates import FILE
from lifecycle.preferences.pairs import SAMPLED, build_preference_pairs, split
from lifecycle.preferences.sampling import Programs
from lifecycle.preferences.table import RAW, Pair, read_pairs, write_pairs
from lifecycle.recipe.preferences import PreferencesConfig
from lifecycle.recipe.recipe import Recipe, load_recipe
from tests.chat_server import KEY as PLANTED
from tests.chat_server import chat_server, said
from tests.evaluation.fixtures import heldout_directory
from tests.launching import launch

CONFIG = {
    "prompts": 45,
    "candidates": 3,
    "temperatures": (1.0, 0.6),
    "max_new_tokens": 8,
    "judges": (
        {"kind": "reference"},
        {"kind": "rules", "weight": 0},
        {"kind": "endpoint", "weight": 0, "endpoint": {"model": "judge-1", "input_price": 1.0}},
    ),
    "min_margin": 0.0,
    "pairing": {"chosen_rules": ("identity",)},  # a random model writes broken characters
    "heldout_share": 0.25,
    "batch": 32,
}
TINY = load_recipe(Path(__file__).parents[1] / "recipes" / "tiny.yaml")


def recipe(**changes: object) -> Recipe:
    return TINY.model_copy(update={"preferences": PreferencesConfig.model_validate(CONFIG | changes)})


def build(root: Path, model: Path, heldout: Path, recipe: Recipe, name: str = "out") -> dict:
    programs = Programs(launch, root / f"run_{name}", "f" * 32, root / "cache")
    models = {"sft_model": ModelFolder(model, "model")}
    return build_preference_pairs(root / "raw", root / "instructions", models, heldout, recipe, root / name, programs)


def conversation(number: int, question: str, answer: str = "Return the path of a file.", **changes: object) -> Conversation:
    values = {"task": "summary", "group": f"g{number}", "document_id": f"d{number}", **changes}
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(id=f"c{number}", source="docs", messages=turns, **values)  # type: ignore[arg-type]


def pair(number: int, prompt: str) -> Pair:
    message = Message(role="user", content=prompt)
    return Pair(id=f"r{number}", prompt=(message,), chosen="yes it is", rejected="no", source="files", task="general")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_directory: Path):
    """A whole build, with one conversation for each rule."""
    root = tmp_path_factory.mktemp("pairs")
    heldout = heldout_directory(root / "heldout")
    asked = "Repeat the word.\n\npath of it"
    conversations = [conversation(i, f"What does number {i} do?") for i in range(40)]
    conversations += [
        conversation(100, "Held out by group?", group="held/out.py"),
        conversation(101, "Held out by document?", document_id="held"),
        conversation(102, asked),
        conversation(103, "Which kind?", task="kind"),
        conversation(104, "What does number 3 do?"),
    ]
    turns = (*conversation(0, "One?").messages, *conversation(0, "Two?").messages)
    conversations.append(conversation(105, "One?").model_copy(update={"messages": turns}))
    for name in ("instructions", "raw", "out", "again"):
        (root / name).mkdir()
    write_conversations(root / "instructions", conversations)
    benchmark = "A farmer has seventeen sheep and all but nine of them run away; how many are left in the field?"
    (root / "benchmark.jsonl").write_text(json.dumps({"question": benchmark}))
    found = [pair(0, "From a file?"), pair(1, asked.upper()), pair(2, "From a file?"), pair(3, "Another?")]
    found += [pair(4, f"Explain: {benchmark}"), pair(5, "Who?").model_copy(update={"chosen": "I am ChatGPT."})]
    write_pairs(root / "raw" / RAW, found)
    curation = TINY.curation.model_copy(update={"decontaminate": (str(root / "benchmark.jsonl"),)})
    measured = recipe().model_copy(update={"curation": curation})
    with chat_server(lambda *_: said("Much the same. [[C]]")) as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv(URL, server.address.url)
        environment.setenv(KEY, PLANTED)
        facts = [build(root, model_directory, heldout, measured, name) for name in ("out", "again")]
    assert server.authorizations == {f"Bearer {PLANTED}"}
    (root / "address").write_text(server.address.url)
    return root, facts[0]


def test_every_conversation_is_accounted_for(built):
    root, facts = built
    ledgers = {ledger.source: ledger for ledger in Ledger.read(root / "out").sources}
    sampled = ledgers[SAMPLED]
    assert sampled.read == 46
    assert {
        rule: sampled.dropped[rule] for rule in ("heldout_document", "evaluation_prompt", "several_turns", "closed_task")
    } == {
        "heldout_document": 2,
        "evaluation_prompt": 1,
        "several_turns": 1,
        "closed_task": 1,
    }
    assert sampled.dropped["same_prompt"] == 1
    assert (ledgers["files"].read, ledgers["files"].kept) == (6, 3)
    assert ledgers["files"].dropped == {"chosen_identity": 1, "evaluation_passage": 1, "evaluation_prompt": 1}
    assert facts["rows"] == sampled.kept + 3
    assert facts["sources"] == {SAMPLED: sampled.kept, "files": 3}
    assert facts["prompts_sampled"] == 40


def test_pairs_hold_a_better_and_a_worse_answer(built):
    root, facts = built
    pairs = [p for name in ("train", "heldout") for p in read_pairs(root / "out" / f"{name}.parquet")]
    scored = [p for p in pairs if p.source == SAMPLED]
    assert scored
    assert all(p.chosen_score > p.rejected_score and p.chosen != p.rejected for p in scored)  # type: ignore[operator]
    assert facts["mean_margin"] == pytest.approx(
        sum(p.chosen_score - p.rejected_score for p in scored) / len(scored),
        abs=1e-4,  # type: ignore[operator]
    )
    assert 0 <= facts["length"]["chosen_longer_share"] <= 1
    assert "| prompt | chosen | rejected |" in facts["samples_markdown"]
    assert {path.stem for path in (root / "run_out" / "plots").glob("*.png")} == {
        *("scores", "outcomes", "length_difference", "judges", "agreement"),
    }
    assert facts["sampling"]["sft_model"]["tokens_per_second_per_process"] > 0
    assert [each["judges"] for each in facts["agreement"]] == [
        ["reference", "rules"],
        ["reference", "endpoint"],
        ["rules", "endpoint"],
    ]
    assert facts["agreement"][0]["comparisons"] == 40 * 3


def test_a_judge_is_paid_once_and_its_key_is_nowhere(built):
    """What a stage writes goes to manifests, MLflow and the UI."""
    root, facts = built
    judge = facts["judges"]["endpoint"]
    assert judge["kept"] == 0
    assert judge["requests"] == 2 * judge["ties"]
    assert judge["cost"] == pytest.approx(judge["requests"] * 10 / 1e6)
    address = (root / "address").read_text()
    (root / "address").unlink()
    written = [path.read_bytes() for path in root.rglob("*") if path.is_file()] + [json.dumps(facts).encode()]
    assert not any(PLANTED.encode() in content or address.encode() in content for content in written)


def test_every_candidate_is_accounted_for(built):
    """Score once, decide later: the sidecar has every answer with every judge's score, and what became of it."""
    root, _ = built
    rows = pq.read_table(root / "out" / FILE).to_pylist()
    assert len(rows) == 40 * 3
    assert all(row["score"] == row["reference"] and 0 < row["rules"] <= 1 for row in rows)
    assert [row["temperature"] for row in rows[:3]] == [1.0, 0.6, 1.0]
    (account,) = [each for each in Ledger.read(root / "out").sources if each.source == "candidates:sft_model"]
    decisions = Counter(row["decision"] for row in rows)
    assert account.read == 40 * 3
    assert {"kept": account.kept, **account.dropped} == decisions
    prompts = next(each for each in Ledger.read(root / "out").sources if each.source == SAMPLED)
    assert decisions["kept"] == 2 * prompts.kept


def test_no_prompt_is_on_both_sides(built):
    root, facts = built
    train, heldout = (read_pairs(root / "out" / f"{name}.parquet") for name in ("train", "heldout"))
    assert train
    assert heldout
    assert not {p.prompt_key() for p in train} & {p.prompt_key() for p in heldout}
    assert (len(train), len(heldout)) == (facts["train"], facts["heldout"])


def test_two_builds_give_the_same_bytes(built):
    root, _ = built
    for name in ("train.parquet", "heldout.parquet", "candidates.parquet", "ledger.json"):
        assert (root / "out" / name).read_bytes() == (root / "again" / name).read_bytes()


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_split_is_disjoint_and_complete(prompts: list[int], share: float, seed: int):
    pairs = [pair(i, f"prompt {p}") for i, p in enumerate(prompts)]
    train, heldout = split(pairs, share, seed)
    assert sorted(p.id for p in train + heldout) == sorted(p.id for p in pairs)
    assert not {p.prompt_key() for p in train} & {p.prompt_key() for p in heldout}
    if len(set(prompts)) > 1:
        assert train
        assert heldout


@given(st.sets(st.integers(0, 400), min_size=100), st.sets(st.integers(0, 400), min_size=100), st.floats(0.1, 0.9))
def test_no_round_trains_on_a_prompt_that_another_held_out(one: set[int], other: set[int], share: float):
    """Which prompts gave a pair differs by round, and must not move the others from one side to the other."""
    first, second = (split([pair(p, f"prompt {p}") for p in sorted(prompts)], share, 11) for prompts in (one, other))
    for train, heldout in ((first[0], second[1]), (second[0], first[1])):
        assert not {p.prompt_key() for p in train} & {p.prompt_key() for p in heldout}


def test_nothing_to_pair_is_one_clear_error(tmp_path: Path, model_directory: Path):
    for name in ("instructions", "raw", "out"):
        (tmp_path / name).mkdir()
    write_conversations(tmp_path / "instructions", [conversation(1, "Which?", task="kind")])
    write_pairs(tmp_path / "raw" / RAW, [])
    heldout = heldout_directory(tmp_path / "heldout")
    with pytest.raises(DataError, match=r"0 pairs on 0 prompts are not enough.*closed_task"):
        build(tmp_path, model_directory, heldout, recipe(judges=({"kind": "reference"},)))
