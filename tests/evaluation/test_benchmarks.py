"""The shipped benchmarks: every file has its task, right answers score, and programs of models stay in their place."""

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lifecycle.evaluation.benchmarks import readers, sandbox, scoring
from lifecycle.evaluation.benchmarks.sandbox import run_program
from lifecycle.evaluation.task_files import SHIPPED, read_task_file, shipped_names
from lifecycle.recipe.evaluation import EvaluationConfig, EvaluationTask
from tests.shared_data import shared

PROMPTS_ALONE = {
    "cvalues_responsibility_prompts.jsonl",
    "do_not_answer_en.csv",
    "judge_prompts.jsonl",
    "vicuna_bench_question.jsonl",
}
"""Questions without an answer to compare with, and words for a judge: no lm-eval task can score them."""
ALLOWED = EvaluationConfig(allow_code_execution=True)


def test_every_file_has_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared("eval")
    monkeypatch.setenv("LIFECYCLE_EVAL_DATA", str(folder))
    used = set()
    for name in shipped_names():
        file = read_task_file(EvaluationTask(task=name), ALLOWED)
        assert file is not None
        used |= {path.name for path in file.files if path.parent == folder}
    assert {path.name for path in folder.iterdir()} == used | PROMPTS_ALONE


def rows(name: str) -> list[dict[str, Any]]:
    """All items of a benchmark, as its reader gives them."""
    task = yaml.load((SHIPPED / f"{name}.yaml").read_text(), _Names)
    merged = {}
    for file in [task.pop("include")] if "include" in task else []:
        merged = yaml.load((SHIPPED / file).read_text(), _Names)
    task = merged | task
    paths = {
        key: str(shared(value.replace("${LIFECYCLE_EVAL_DATA}", "eval"))) for key, value in task["dataset_kwargs"].items()
    }
    return getattr(readers, task["custom_dataset"].rpartition(".")[2])(**paths)["test"].to_list()


class _Names(yaml.SafeLoader):
    """Functions by name."""


_Names.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def lines(name: str) -> list[dict[str, Any]]:
    return readers._lines(str(shared(f"eval/{name}")))


def mean(scores: list[dict[str, float]], metric: str) -> float:
    return sum(score[metric] for score in scores) / len(scores)


def test_right_answers_score_and_others_do_not() -> None:
    """With each file's own answers every item counts; with its neighbour's nearly none does."""
    maths = lines("gsm8k_test.jsonl.gz")
    assert mean([scoring.number(item, [item["answer"]]) for item in maths], "exact_match") == 1
    shifted = zip(maths, maths[1:] + maths[:1], strict=True)
    assert mean([scoring.number(item, [other["answer"]]) for item, other in shifted], "exact_match") < 0.05
    for name, score in (("icl_svamp.jsonl", scoring.number), ("icl_triviaqa_sm_sub.jsonl.gz", scoring.one_of)):
        items = lines(name)
        assert mean([score(item, [f" {item['answer']}."]) for item in items], "exact_match") == 1
    hard = rows("local_bbh")
    assert len(hard) == 6511
    assert mean([scoring.option(item, [f" {item['target']}\n\nQ:"]) for item in hard], "exact_match") == 1
    reasoned = [scoring.option(item, [f"Let us think. So the answer is {item['target']}."]) for item in hard]
    assert mean(reasoned, "exact_match") == 1
    spans = rows("local_cmrc2018")
    said = [scoring.chinese_span(item, [f"{item['answers'][0]}。\n因为"]) for item in spans]
    assert (mean(said, "f1"), mean(said, "exact_match")) == (1, 1)


def test_public_files_become_the_items_that_their_authors_count() -> None:
    """Numbers of items as the papers and the files' table of sources have them."""
    counts = {name: len(rows(name)) for name in ("local_cmmlu", "local_hellaswag", "local_truthfulqa_mc1", "local_cold")}
    assert counts == {"local_cmmlu": 11582, "local_hellaswag": 10042, "local_truthfulqa_mc1": 790, "local_cold": 6431}
    subjects: dict[str, int] = {}
    for row in readers.cmmlu(str(shared("eval/cmmlu.tar.gz")))["dev"].to_list():
        subjects[row["subject"]] = subjects.get(row["subject"], 0) + 1
    assert set(subjects.values()) == {5}
    assert len(subjects) == 67
    solved = readers.bbh(str(shared("eval/bbh.tar.gz")))["dev"].to_list()
    assert len(solved) == 27 * 3
    assert mean([scoring.option(item, [item["solution"]]) for item in solved], "exact_match") == 1


@pytest.mark.parametrize(
    ("answer", "reference", "f1", "equal"),
    [
        ("《三国演义》，", "《三国演义》", 1.0, 1.0),
        ("１２３（米）", "123(米)", 1.0, 1.0),
        ("罗贯中写的", "罗贯中", 0.75, 0.0),
        ("曹雪芹", "罗贯中", 0.0, 0.0),
        ("Windows 95 系统", "windows 95系统", 1.0, 1.0),
    ],
)
def test_chinese_answers_are_compared_by_characters(answer: str, reference: str, f1: float, equal: float) -> None:
    found = scoring.chinese_span({"answers": [reference]}, [answer])
    assert found == {"f1": pytest.approx(f1), "exact_match": equal}


def test_authors_solutions_pass_their_tests_and_broken_ones_do_not() -> None:
    for item in lines("HumanEval.jsonl.gz")[:2]:
        assert scoring.program(item, [item["canonical_solution"]]) == {"pass_at_1": 1.0}
        assert scoring.program(item, ["    return None\n"]) == {"pass_at_1": 0.0}
        assert scoring.program(item, [f"```python\n{item['prompt']}{item['canonical_solution']}```"]) == {"pass_at_1": 1.0}


@pytest.mark.parametrize(
    "source",
    [
        "import os; os._exit(0)",  # leaves before its tests
        "raise SystemExit",
        "x = bytearray(3 << 30)",
        "open('file', 'wb').write(b'x' * (5 << 20))",
        "import os; os.environ['PLANTED']",
        "import sys; assert sys.stdin.read()",
    ],
)
def test_a_program_that_leaves_its_place_does_not_pass(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "secret")
    assert not run_program(source).passed


def test_a_program_is_ended_with_all_that_it_began() -> None:
    """Also what it left running when it ended by itself."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        beating = Path(folder) / "beat"
        began = f"import os\nif os.fork() == 0:\n  while True: open({str(beating)!r}, 'a').write('.')\n"
        assert run_program(f"{began}while not os.path.exists({str(beating)!r}): pass", seconds=30).passed
        size = beating.stat().st_size
        time.sleep(0.2)
        assert beating.stat().st_size == size
    outcome = run_program("while True: pass", seconds=0.5)
    assert (outcome.passed, outcome.reason) == (False, "took more than 0.5 s")


def test_a_program_has_no_network_where_the_machine_can_take_it_away() -> None:
    if not sandbox.isolation().unshared:
        pytest.skip("this machine does not let a process leave its network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        socket.create_connection((host, port)).close()
        assert not run_program(f"import socket; socket.create_connection(({host!r}, {port}))", seconds=30).passed
    assert run_program("import os; assert os.getppid() == 0", seconds=30).passed
