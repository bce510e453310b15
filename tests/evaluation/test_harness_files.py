"""A task of lm-eval's own counts by what it is, not by its name alone."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants

from lifecycle.errors import RecipeError
from lifecycle.evaluation import harness_files
from lifecycle.evaluation.harness_files import harness_digests
from lifecycle.recipe.evaluation import EvaluationConfig

FILES = {
    "quiz/_template": "dataset_path: owner/quiz\noutput_type: multiple_choice\n",
    "quiz/easy.yaml": "include: _template\ntask: quiz_easy\ntag:\n  - quizzes\n",
    "quiz/hard.yaml": "include: _template\ntask: quiz_hard\nprocess_docs: !function utils.harder\ntag:\n  - quizzes\n",
    "quiz/utils.py": "def harder(rows):\n    return rows\n",
    "other/other.yaml": "task: other\ndataset_path: json\n",
    "all.yaml": "group: everything\ntask:\n  - group: within\n    task: [quiz_hard]\n  - task: other\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of tasks in lm-eval's forms, which it is safe to edit."""
    for name, text in FILES.items():
        path = tmp_path / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(harness_files, "_folder", lambda: tmp_path / "tasks")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    harness_files._names.cache_clear()
    yield tmp_path
    harness_files._names.cache_clear()


def digests(*names: str) -> dict[str, dict[str, Any]]:
    return harness_digests(EvaluationConfig.model_validate({"tasks": names}))


@pytest.mark.parametrize(
    ("name", "decided_by"),
    [
        ("quiz_easy", {"quiz/_template", "quiz/easy.yaml"}),
        ("quiz_hard", {"quiz/_template", "quiz/hard.yaml", "quiz/utils.py"}),
        ("quizzes", {"quiz/_template", "quiz/easy.yaml", "quiz/hard.yaml", "quiz/utils.py"}),
        ("everything", {"all.yaml", "quiz/_template", "quiz/hard.yaml", "quiz/utils.py", "other/other.yaml"}),
        ("other", {"other/other.yaml"}),
    ],
)
def test_a_change_of_any_file_that_decides_a_task_is_seen_and_no_other(
    package: Path, name: str, decided_by: set[str]
) -> None:
    """The fingerprint held the name: after an update of lm-eval old figures stood under a changed task."""
    before = digests(name)
    assert set(before[name]["files"]) == decided_by
    for file in FILES:
        path = package / "tasks" / file
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert (digests(name) != before) is (file in decided_by), file
        path.write_text(text)
    assert digests(name) == before


def test_a_package_behind_a_link_is_read_as_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an environment that lies behind a link, what a task includes was not below the folder of tasks: a ValueError."""
    (tmp_path / "linked").symlink_to(Path(lm_eval_folder()).parent, target_is_directory=True)
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "linked" / "lm_eval")])
    straight = digests("arc_easy", "mmlu_abstract_algebra")
    monkeypatch.setattr(harness_files.importlib.util, "find_spec", lambda _: found)
    for cached in (harness_files._folder, harness_files._names):
        cached.cache_clear()
    try:
        assert digests("arc_easy", "mmlu_abstract_algebra") == straight
    finally:
        for cached in (harness_files._folder, harness_files._names):
            cached.cache_clear()


def lm_eval_folder() -> str:
    spec = importlib.util.find_spec("lm_eval")
    assert spec
    assert spec.submodule_search_locations
    return spec.submodule_search_locations[0]


def test_the_revision_of_its_data_counts_where_this_machine_has_it(package: Path) -> None:
    assert digests("quiz_hard")["quiz_hard"]["data"] == {"owner/quiz": None}
    reference = package / "hub" / "datasets--owner--quiz" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("a" * 40)
    assert digests("everything")["everything"]["data"] == {"owner/quiz": "a" * 40}
    assert digests("other")["other"]["data"] == {}


def test_tasks_that_are_files_of_ours_are_none_of_it_and_an_unknown_one_names_its_neighbours(package: Path) -> None:
    assert digests("kind_of_object", "quiz_easy").keys() == {"quiz_easy"}
    with pytest.raises(RecipeError, match=r"'quiz_eazy' is neither.*did you mean quiz_easy"):
        digests("quiz_eazy")
