"""The recipe's tasks on a tiny model and slices of real benchmarks: settings, portions, and what is kept between runs."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from lifecycle.errors import DataError, RecipeError
from lifecycle.evaluation import stage
from lifecycle.evaluation.harness import measure_tasks
from lifecycle.evaluation.kept import keep_tasks, together
from lifecycle.evaluation.merge import merge, task_result
from lifecycle.evaluation.results import Results
from lifecycle.evaluation.shares import Share, TaskShare
from lifecycle.jobs import TrainingJob
from lifecycle.portions import Portion
from lifecycle.recipe.evaluation import EvaluationConfig
from tests.evaluation.fixtures import heldout_directory
from tests.evaluation.test_task_files import QUIZ
from tests.shared_data import shared

CONTEXT = 256


class Asked:
    """A tiny model, and everything that it was asked."""

    def __init__(self, directory: Path, heldout: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.heldout = heldout
        self.calls = 0
        self.model.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def measure(self, folder: Path, tasks: list[Any], portion: Portion | None = None, **options: Any) -> list[TaskShare]:
        """One item to a forward pass, so that what stands beside an item in its batch rounds nothing."""
        code = options.pop("config", {})
        config = EvaluationConfig.model_validate({"tasks": tasks, "batch": 1, "context": CONTEXT, **code})
        own = portion or Portion()
        folder = folder / f"{own.rank}-of-{own.world}"
        return measure_tasks(self.model, self.tokenizer, self.heldout, config, folder, own, digest="m", **options)[0]


@pytest.fixture(scope="module")
def asked(model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(model_directory, heldout_directory(tmp_path_factory.mktemp("heldout")))


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_EVAL_DATA", str(shared("eval")))


@pytest.fixture
def quiz(tmp_path: Path) -> Path:
    """A task file of ten items and their table."""
    items = [{"question": f"How much is {n}?", "choices": ["much", "little"], "gold": n % 2} for n in range(10)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "quiz.yaml").write_text(QUIZ)
    return tmp_path / "quiz.yaml"


SLICES = [
    {"task": "local_copa", "max_items": 5, "fewshot": 2},
    {"task": "local_svamp", "max_items": 3},
    {"task": "local_winogrande", "max_items": 3},
    {"task": "local_lambada", "max_items": 3},
    "heldout_bits_per_byte",
]


def share_of(tasks: list[TaskShare]) -> Share:
    return Share(parameters=1, tasks=tuple(tasks), missing=(), answers=(), pairs=None)


@pytest.mark.usefixtures("benchmarks")
def test_portions_together_are_the_whole_and_so_is_what_is_kept(asked: Asked, tmp_path: Path) -> None:
    """Byte for byte: samples, worked examples and figures of any number of processes, measured or taken from before."""
    whole = asked.measure(tmp_path / "whole", SLICES)
    assert [(task.task, len(task.samples)) for task in whole] == [
        ("local_copa", 5),
        ("local_svamp", 3),
        ("local_winogrande", 3),
        ("local_lambada", 3),
        ("heldout_bits_per_byte", 6),
    ]
    portions = [asked.measure(tmp_path / "parts", SLICES, Portion(rank, 2)) for rank in range(2)]
    assert [together(parts) for parts in zip(*portions, strict=True)] == whole
    shares = [share_of(tasks) for tasks in portions]
    assert merge("base", shares, 5).model_dump_json() == merge("base", [share_of(whole)], 5).model_dump_json()
    keep_tasks(tmp_path / "kept", shares)
    before = asked.calls
    third = asked.measure(tmp_path / "again", SLICES, Portion(1, 3), kept=tmp_path / "kept")
    assert asked.calls == before
    own = [task.model_copy(update={"samples": tuple(Portion(1, 3).of(task.samples)), "reused": True}) for task in whole]
    assert third == own


@pytest.mark.usefixtures("benchmarks")
def test_adding_a_task_measures_it_alone(asked: Asked, tmp_path: Path) -> None:
    """And another setting of a task measures that task again."""
    kept, said = tmp_path / "kept", []
    first = asked.measure(tmp_path / "1", SLICES[:1], kept=kept)
    keep_tasks(kept, [share_of(first)])
    before = asked.calls
    both = asked.measure(tmp_path / "2", [SLICES[2], SLICES[0]], kept=kept, say=said.append)
    assert [(task.task, task.reused) for task in both] == [("local_winogrande", False), ("local_copa", True)]
    assert asked.calls - before == 3 * 2  # items, each after either name
    assert ["reused" in line for line in said] == [False, True]
    for change in ({"fewshot": 1}, {"max_items": 4}, {"chat_template": False}):
        assert not asked.measure(tmp_path / "3", [SLICES[0] | change], kept=kept)[0].reused
    shown = asked.measure(tmp_path / "4", [SLICES[0] | {"metric": "acc_bytes"}], kept=kept)
    assert shown[0].reused
    assert task_result(shown).shown == "acc_bytes"


def test_a_killed_process_goes_on_behind_the_task_that_it_was_done_with(asked: Asked, tmp_path: Path, quiz: Path) -> None:
    tasks = [{"task": "quiz", "path": str(quiz)}, "kind_of_object"]
    whole = asked.measure(tmp_path / "run", tasks)
    next((tmp_path / "run" / "0-of-1").glob(f"{whole[1].key}.json")).write_text('{"task": "kind_of')
    before = asked.calls
    assert asked.measure(tmp_path / "run", tasks) == whole
    assert asked.calls - before == 12 * 3


def test_settings_are_the_recipes_before_the_task_files_before_the_models(asked: Asked, tmp_path: Path, quiz: Path) -> None:
    own = {"task": "quiz", "path": str(quiz)}

    def request(number: int, chat: bool, *tasks: Any) -> str:
        return asked.measure(tmp_path / str(number), list(tasks), chat=chat)[0].samples[0].request

    assert request(1, True, own) == "<|im_start|>user\nHow much is 0?<|im_end|>\n<|im_start|>assistant\n"
    assert request(2, False, own) == "How much is 0?"
    assert "<|im_start|>" in request(3, False, own | {"chat_template": True})
    assert "<|im_start|>" in request(4, False, "kind_of_object")
    shown = request(5, False, own | {"fewshot": 3})
    assert shown.count("How much is") == 4
    assert shown.count("How much is 0?") == 1  # never with its own answer
    assert shown == request(6, False, own | {"fewshot": 3, "max_items": 10})
    with pytest.raises(RecipeError, match=r"quiz\.fewshot: 11 .* 10 to show"):
        request(7, False, own | {"fewshot": 10})
    with pytest.raises(RecipeError, match=r"quiz\.metric: 'f1'.*acc"):
        request(8, False, own | {"metric": "f1"})


@given(st.integers(1, 9), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_some_items_are_drawn_by_the_seed_alone(asked: Asked, tmp_path_factory: pytest.TempPathFactory, n: int, seed: int):
    folder = tmp_path_factory.mktemp("drawn")
    rows = [{"question": f"q{number}", "choices": ["a", "b"], "gold": 0} for number in range(12)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "quiz.yaml").write_text(QUIZ)
    task = {"task": "quiz", "path": str(folder / "quiz.yaml"), "max_items": n}
    runs = [asked.measure(folder / name, [task], config={"seed": seed})[0] for name in ("one", "two")]
    assert runs[0] == runs[1]
    drawn = [sample.index for sample in runs[0].samples]
    assert len(set(drawn)) == n
    assert [sample.prompt for sample in runs[0].samples] == [f"q{number}" for number in drawn]


def test_a_templates_reach_ends_at_the_item(asked: Asked, tmp_path: Path, quiz: Path) -> None:
    """lm-eval renders task files with all of Python within reach: a task file that somebody sends is data here."""
    quiz.write_text(
        QUIZ.replace("doc_to_text: question", "doc_to_text: '{{ question.__class__.__mro__[1].__subclasses__() }}'")
    )
    with pytest.raises(DataError, match=r"quiz: .*SecurityError"):
        asked.measure(tmp_path / "run", [{"task": "quiz", "path": str(quiz)}])


def test_lm_evals_own_tasks_are_known_and_their_data_asked_for(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline a data set that was never fetched is an error that says what to do, before anything is measured."""
    before = asked.calls
    with pytest.raises(DataError, match=r"arc_easy: its data cannot be loaded(.|\n)*HF_HUB_OFFLINE=0"):
        asked.measure(tmp_path / "own", ["kind_of_object", "arc_easy"])
    with pytest.raises(RecipeError, match=r"'hella_swag'.*kind_of_object.*did you mean.*hellaswag"):
        asked.measure(tmp_path / "unknown", ["hella_swag"])
    assert asked.calls == before


@pytest.mark.usefixtures("benchmarks")
def test_no_room_for_the_answer_is_said_before_anything_is_measured(asked: Asked, tmp_path: Path) -> None:
    before = asked.calls
    with pytest.raises(RecipeError, match=r"local_gsm8k: generates up to 256 tokens"):
        asked.measure(tmp_path, ["kind_of_object", {"task": "local_gsm8k", "max_items": 1}])
    assert asked.calls == before


@pytest.mark.usefixtures("benchmarks")
def test_every_task_leaves_its_samples_and_figures(asked: Asked, tmp_path: Path) -> None:
    """Through the stage: what the report reads, and a table of every item of every task, with a truncated one marked."""
    tasks = [*SLICES, {"task": "local_cmmlu", "max_items": 2}]
    config = EvaluationConfig.model_validate({"tasks": tasks, "context": CONTEXT})

    def launch(job: TrainingJob) -> dict[str, Any]:
        share_of(asked.measure(tmp_path / "f", tasks)).write(Path(job.run_dir), Portion())
        return {}

    out, run_dir = tmp_path / "out", tmp_path / "run"
    out.mkdir()
    run_dir.mkdir()
    facts = stage.evaluate_model("base", tmp_path, asked.heldout, config, out, run_dir, launch, "f" * 32)
    results = Results.read(out)
    assert results.tasks["local_winogrande"].chance == 0.5
    assert (results.tasks["local_cmmlu"].chance, results.tasks["local_cmmlu"].truncated) == (0.25, 2)
    assert set(results.tasks["local_lambada"].metrics) == {"acc", "perplexity"}
    for name, metric in results.metrics().items():
        assert metric.stderr is not None, name
        assert metric.interval is not None, name
        assert metric.interval[0] - 1e-12 <= metric.value <= metric.interval[1] + 1e-12, name
    rows = pq.read_table(out / "samples.parquet").to_pylist()
    assert len(rows) == facts["rows"] == 22
    for row in rows:
        assert row["loglikelihoods"] or row["task"] == "local_svamp"
        assert dict(row["metrics"])[row["metric"]] == row["score"]
    first = next(row for row in rows if row["task"] == "local_copa")
    assert first["answer"] == first["choices"][first["loglikelihoods"].index(max(first["loglikelihoods"]))]
    assert first["score"] == (first["answer"] == first["target"])
