"""Fine-tuning and chance: the same start, the same steps, the same measure; and curves that the report shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from lifecycle.errors import RecipeError
from lifecycle.evaluation import sft_controls
from lifecycle.evaluation.sft_controls import RANDOM_PHASES, RANDOM_SELECTION, build_sft_controls
from lifecycle.evaluation.sft_curves import AS_DECIDED, Curve, curves_chart, curves_table, read_curves
from lifecycle.instructions.conversations import write_conversations
from lifecycle.instructions.embeddings import ABOUT, FILE, MAP, unit_rows
from lifecycle.instructions.selection import build_selection
from lifecycle.jobs import TrainingJob
from lifecycle.recipe.recipe import Recipe, parse_recipe
from lifecycle.stages import report_of, stages_of
from lifecycle.tokens.build_sft import build_sft_memmap
from lifecycle.tokens.tokenizer import FORMAT_FILE, TokenFormat
from lifecycle.training import causal
from tests.instructions.test_embeddings import conversations
from tests.tiny_model import tiny_model

RECIPE = """
name: t
sources: [{name: a, kind: text, path: /none, licence: none}]
base_model:
  architecture: {hidden_size: 32, layers: 2, heads: 2, kv_heads: 2, intermediate_size: 64}
  training: &training
    {steps: 4, global_batch: 2, sequence_length: 128, micro_batch: 2, processes: 1,
     optimization: {learning_rate: 0.01, warmup_steps: 1}}
instructions:
  max_tokens: 128
  sources: [{kind: files, name: f, path: /none, licence: none}]
  embeddings: {kind: lexical, dimensions: 16}
  selection: {keep: 0.4, by: {column: answer_characters}}
sft:
  heldout: {share: 0.3}
  phases: {by: answer_tokens, into: 2}
  training: *training
evaluation: {sft_controls: {every: 2, sequences: 4}}
gates: [{metric: heldout_bits_per_byte/bits_per_byte, at_most: 9}]
"""


def recipe(*changes: tuple[str, str]) -> Recipe:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_recipe(text, "t.yaml")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The artifacts that the recipe fine-tunes on, made by the stages' own functions."""
    root, made = tmp_path_factory.mktemp("inputs"), recipe()
    names = ("instructions", "instruction_embeddings", "selected_instructions", "sft_memmap", "run")
    found = {name: root / name for name in names}
    for directory in found.values():
        directory.mkdir()
    found["base_model"] = found["tokenizer"] = tiny_model(root / "model")
    (root / "model" / FORMAT_FILE).write_text(TokenFormat(dtype="uint16", template="chatml").model_dump_json())
    write_conversations(found["instructions"], conversations(60))
    random, embeddings = np.random.default_rng(0), found["instruction_embeddings"]
    np.save(embeddings / FILE, unit_rows(random.normal(size=(60, 8))).astype(np.float16))
    np.save(embeddings / MAP, random.normal(size=(60, 2)).astype(np.float32))
    (embeddings / ABOUT).write_bytes(orjson.dumps({"label": "made for a test", "dimensions": 8}))
    selection = made.instructions.selection
    assert selection
    selected = found.pop("selected_instructions")
    build_selection(found["instructions"], found["instruction_embeddings"], None, selection, selected, found["run"])
    build_sft_memmap(
        selected, found["tokenizer"], 128, made.sft.heldout, made.mix_seed, found["sft_memmap"], found.pop("run")
    )
    return found


@pytest.fixture
def trained(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainingJob], dict[str, Any]]:
    """Trains in this process, which is the one rank of every job: to start one takes longer than these trainings."""
    monkeypatch.setattr(causal, "start", lambda: device)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)

    def launch(job: TrainingJob) -> dict[str, Any]:
        Path(job.output).mkdir(parents=True)
        causal.main(job)
        return json.loads((Path(job.run_dir) / "result.json").read_bytes())

    return launch


def test_all_are_measured_on_the_same_held_out_conversations_and_one_that_ended_is_not_trained_again(
    inputs: dict[str, Path], trained: Callable[[TrainingJob], dict[str, Any]], tmp_path: Path
) -> None:
    """The first version measured the recipe's selection on held-out conversations of that selection."""
    jobs: list[TrainingJob] = []
    (tmp_path / "out").mkdir()

    def launch(job: TrainingJob) -> dict[str, Any]:
        jobs.append(job)
        return trained(job)

    facts = build_sft_controls(inputs, recipe(), launch, "f" * 32, tmp_path / "out", tmp_path / "run")
    curves = {curve.arm: curve for curve in read_curves(tmp_path / "out")}
    assert list(curves) == [AS_DECIDED, RANDOM_PHASES, RANDOM_SELECTION] == list(facts["bits_per_byte"])
    assert {tuple(step for step, _ in curve.points) for curve in curves.values()} == {(2, 4)}
    assert len({curve.points for curve in curves.values()}) == 3, "they are three different trainings"
    assert len({job.inputs["validation"] for job in jobs}) == 1
    assert len({job.inputs["model"] for job in jobs}) == 1
    assert [job.config["fine_tuning"]["phases"]["order"] for job in jobs] == ["rising", "random", "rising"]
    assert jobs[0].inputs["memmap"] == jobs[1].inputs["memmap"] != jobs[2].inputs["memmap"]
    assert abs(curves[AS_DECIDED].conversations - curves[RANDOM_SELECTION].conversations) <= 8, "24 less those held out"

    def refuse(job: TrainingJob) -> dict[str, Any]:
        raise AssertionError(f"{job.run_dir} was trained before")

    build_sft_controls(inputs, recipe(), refuse, "f" * 32, tmp_path / "out", tmp_path / "run")
    assert {curve.arm: curve for curve in read_curves(tmp_path / "out")} == curves
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"trained", "plots"}, "weights and checkpoints of trainings that nobody uses are not kept"
    assert json.loads((tmp_path / "out" / "curves.json").read_bytes())[0]["arm"] == AS_DECIDED


def test_the_table_says_by_how_much_chance_was_better() -> None:
    points = {AS_DECIDED: (3.0, 2.0), RANDOM_PHASES: (2.5, 1.9)}
    curves = [
        Curve(
            arm=arm, seed=seed, conversations=7, points=tuple((10 * n, y + seed / 8) for n, y in enumerate(given, start=1))
        )
        for seed in (0, 1)
        for arm, given in points.items()
    ]
    table = curves_table(curves)
    assert table.columns == ("fine-tuning", "conversations", "step 10", "step 20", "at the end, by seed")
    assert [row[-1] for row in table.rows] == ["–", "-0.1000, -0.1000"]
    assert table.rows[0][2:4] == ("3.062", "2.062")
    assert curves_table([]).rows == ()
    chart = curves_chart(curves)
    assert chart
    assert [(name, path.count("M")) for name, path in chart.lines] == [(arm, 2) for arm in points], "a line for each seed"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("heldout: {share: 0.3}", "balance: {}")], "measures held-out conversations"),
        (
            [
                ("phases: {by: answer_tokens, into: 2}", "balance: {}"),
                ("  selection: {keep: 0.4, by: {column: answer_characters}}\n", ""),
            ],
            "nothing of this recipe can be left to chance",
        ),
        ([("phases: {by:", "balance: {per: task, coba: {}}\n  phases: {by:")], "weighs each training by itself"),
    ],
)
def test_a_recipe_whose_controls_would_say_nothing_is_refused(changes: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(*changes)


def test_the_report_reads_the_stage_and_no_other_stage_changes() -> None:
    """It compares fine-tunings with each other: asking for it must make no model and no evaluation stale."""
    without = recipe(("evaluation: {sft_controls: {every: 2, sequences: 4}}", "evaluation: {}"))
    by_name = {stage.name: stage for stage in stages_of(recipe())}
    stage = by_name.pop(sft_controls.STAGE)
    assert stage.inputs == ("base_model", "tokenizer", "sft_memmap", "instructions", "instruction_embeddings")
    assert stage.name in report_of(recipe()).inputs
    before = {each.name: each for each in stages_of(without)}
    assert set(before) == set(by_name)
    for name, each in before.items():
        source = "a" if each.per_source else None
        assert each.identity(without, source) == by_name[name].identity(recipe(), source)
