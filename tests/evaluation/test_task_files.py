"""Task files: what they may reach, what in them is code, and that their bytes decide the evaluation's identity."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lifecycle.errors import DataError, LifecycleError, RecipeError
from lifecycle.evaluation.task_files import Function, file_digests, read_task_file, shipped_names
from lifecycle.recipe.evaluation import EvaluationConfig, EvaluationTask

QUIZ = """
task: quiz
dataset_path: json
dataset_kwargs:
  data_files: {test: items.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task of two items in a folder, and things beside the folder that no task file may reach."""
    (tmp_path / "secret.yaml").write_text("doc_to_text: secret\n")
    (tmp_path / "secret.py").write_text("def question(doc): return 'secret'\n")
    (tmp_path / "secret.jsonl").write_text("{}\n")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "quiz.yaml").write_text(QUIZ)
    items = [{"question": f"Which {n}?", "choices": ["a", "b"], "gold": n % 2} for n in range(2)]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def entry(folder: Path) -> EvaluationTask:
    return EvaluationTask(task="quiz", path=str(folder / "quiz.yaml"))


def config(folder: Path, **fields: bool) -> EvaluationConfig:
    return EvaluationConfig(tasks=(entry(folder),), **fields)


def read(folder: Path, **fields: bool):
    file = read_task_file(entry(folder), config(folder, **fields))
    assert file is not None
    return file


def test_an_included_file_gives_what_is_not_said_again(folder: Path) -> None:
    (folder / "base.yaml").write_text(QUIZ)
    (folder / "quiz.yaml").write_text("include: base.yaml\ndoc_to_text: other\n")
    file = read(folder)
    assert (file.config["doc_to_text"], file.config["doc_to_target"]) == ("other", "gold")
    assert file.config["dataset_kwargs"]["data_files"]["test"] == str(folder / "items.jsonl")
    assert [path.name for path in file.files] == ["quiz.yaml", "base.yaml", "items.jsonl"]


@pytest.mark.parametrize(
    "text",
    [
        "include: ../secret.yaml\n" + QUIZ,
        "include: link.yaml\n" + QUIZ,
        QUIZ.replace("items.jsonl", "../secret.jsonl"),
        QUIZ.replace("items.jsonl", "/etc/passwd"),
        QUIZ.replace("items.jsonl", "link.jsonl"),
        QUIZ.replace("items.jsonl", "'${OUTSIDE}/secret.jsonl'"),
        QUIZ.replace("doc_to_text: question", "doc_to_text: !function ...secret.question"),
    ],
)
def test_nothing_outside_the_folder_is_read(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "..")
    (folder / "link.yaml").symlink_to(folder.parent / "secret.yaml")
    (folder / "link.jsonl").symlink_to(folder.parent / "secret.jsonl")
    (folder / "quiz.yaml").write_text(text)
    with pytest.raises(LifecycleError, match=r"leads out of|no file"):
        read(folder, allow_task_python=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (QUIZ.replace("doc_to_text: question", "doc_to_text: !function own.question"), "!function"),
        (QUIZ.replace("metric: acc,", "metric: acc, hf_evaluate: true,"), "hf_evaluate"),
        (QUIZ + "class: !function own.Task\n", "class"),
        (QUIZ + "unsafe_code: true\n", "unsafe_code"),
        (QUIZ + "x: !!python/object/apply:os.system ['true']\n", "python/object"),
        (QUIZ.replace("path: json", "path: pandas"), "dataset_path"),
        (QUIZ.replace("path: json", "path: ./here"), "dataset_path"),
        (QUIZ.replace("data_files: {test: items.jsonl}", "data_dir: /"), "dataset_path"),
    ],
)
def test_code_in_a_task_file_is_refused(folder: Path, text: str, said: str) -> None:
    """A task file somebody sends is data; Python, and readers that unpickle, are not."""
    (folder / "own.py").write_text("def question(doc): return doc['question']\n")
    (folder / "quiz.yaml").write_text(text)
    with pytest.raises(RecipeError, match=said):
        read(folder)


def test_python_counts_where_the_recipe_says_so(folder: Path) -> None:
    (folder / "own.py").write_text("def question(doc): return doc['question'].upper()\n")
    (folder / "quiz.yaml").write_text(QUIZ.replace("doc_to_text: question", "doc_to_text: !function own.question"))
    file = read(folder, allow_task_python=True)
    assert isinstance(file.config["doc_to_text"], Function)
    assert file.loaded()["doc_to_text"]({"question": "why"}) == "WHY"
    assert folder / "own.py" in file.files


@pytest.mark.parametrize("name", ["quiz.yaml", "items.jsonl"])
def test_every_byte_of_task_and_data_is_part_of_the_identity(folder: Path, name: str, tmp_path: Path) -> None:
    """The folder's place is not: two people with the same files have the same evaluation."""
    before = file_digests(config(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    assert file_digests(config(moved)) == before
    (moved / name).write_text((moved / name).read_text() + "\n")
    assert file_digests(config(moved)) != before


def test_a_wrong_name_and_missing_data_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"quiz\.yaml.*'quiz'.*'other'"):
        read_task_file(EvaluationTask(task="other", path=str(folder / "quiz.yaml")), config(folder))
    monkeypatch.delenv("LIFECYCLE_EVAL_DATA", raising=False)
    with pytest.raises(DataError, match=r"local_gsm8k.*LIFECYCLE_EVAL_DATA"):
        read_task_file(EvaluationTask(task="local_gsm8k"), EvaluationConfig())


def test_programs_of_models_run_only_where_the_recipe_says_so() -> None:
    with pytest.raises(RecipeError, match="allow_code_execution"):
        read_task_file(EvaluationTask(task="local_humaneval"), EvaluationConfig())
    assert "local_humaneval" in shipped_names()


def test_what_the_documentation_shows_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation-tasks.md").read_text(encoding="utf-8")
    recipe, task = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = EvaluationConfig.model_validate(yaml.safe_load(recipe)["evaluation"])
    assert shown.allow_code_execution
    named = {each.task for each in shown.tasks} - {"arc_easy", "own_quiz"}
    assert named <= set(shipped_names())
    (tmp_path / "own_quiz.yaml").write_text(task)
    (tmp_path / "own_quiz.jsonl").write_text("{}\n")
    file = read_task_file(EvaluationTask(task="own_quiz", path=str(tmp_path / "own_quiz.yaml")), shown)
    assert file is not None
    assert file.files == (tmp_path / "own_quiz.yaml", tmp_path / "own_quiz.jsonl")
