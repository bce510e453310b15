"""Every command of the documents is run, here or by the test that is named, or is listed with the reason why it is not."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.documented import PAGES, commands, without_variables, words
from tests.graph_home import RECIPE, ROOT, Home

pytestmark = pytest.mark.slow

DECIDED = yaml.safe_load(Path(__file__).with_name("documented_commands.yaml").read_text(encoding="utf-8"))
ARGUMENT = {"lifecycle promote": "tiny_dpo/1", "lifecycle lineage": "tiny_sft"}
"""What a command gets that a page only names."""


def key(command: str) -> str:
    return " ".join(without_variables(words(command)))


def test_every_command_has_one_decision_and_no_decision_is_left_over() -> None:
    """A new command of a page fails here until somebody decides what becomes of it."""
    documented = {found for page in PAGES for line in commands(page) if (found := key(line))}
    decided = [*DECIDED["run"], *DECIDED["elsewhere"], *(each for found in DECIDED["not_run"].values() for each in found)]
    assert len(decided) == len(set(decided))
    assert documented == set(decided)


@pytest.mark.parametrize("command", sorted(DECIDED["elsewhere"]))
def test_the_test_that_is_named_is_there_and_runs_such_a_command(command: str) -> None:
    path, _, name = DECIDED["elsewhere"][command].partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    said = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    called = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    word = next(each for each in command.split()[1:] if not each.startswith("-"))
    assert word in called | {part for each in said for part in each.split()}, f"{path} does not run `{word}`"


@pytest.fixture
def ids(finished: Home) -> dict[str, str]:
    """What a reader fills in for the words in capitals."""
    made = finished.summary()["assets"]

    def first(asset: str, pattern: str) -> str:
        (path, *_) = sorted((finished.path / "store" / asset / made[asset]["fingerprint"]).glob(pattern))
        return pq.read_table(path, columns=["id"])["id"][0].as_py()

    document, conversation = first("corpus", "train/*.parquet"), first("instructions", "*.parquet")
    return {"DOCUMENT_ID": document, "SOURCE_OR_DOCUMENT_ID": "packages", "--used-by ID": document, "ID": conversation}


@pytest.mark.parametrize("command", sorted(DECIDED["run"]))
def test_a_command_of_the_documents_runs(command: str, finished: Home, ids: dict[str, str], tmp_path: Path) -> None:
    given = f"{command} {ARGUMENT.get(command, '')}".replace("demo_", "tiny_").replace(
        "deploy/recipes/demo.yaml", str(RECIPE)
    )
    filled = given.replace("--used-by ID", f"--used-by {ids['--used-by ID']}").split()[1:]
    filled = [str(tmp_path / "new") if word == "DIRECTORY" else ids.get(word, word) for word in filled]
    done = finished.ask(*filled)
    assert done.exit_code == 0, (done.output, done.exception)
    assert DECIDED["run"][command] in " ".join(done.output.split())


def test_one_asset_with_what_it_needs(finished: Home) -> None:
    done = finished.run("run", "--select", "base_model")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout + done.stderr
    assert "base_model" in told
    assert "sft_model" not in told


def test_rollback_names_what_there_is(finished: Home) -> None:
    """After one promotion there is nothing to go back to; what a rollback does is tested in tests/tracking."""
    done = finished.ask("rollback", "tiny_dpo")
    assert done.exit_code == 1
    assert "tiny_dpo has no alias 'previous'; its aliases are: candidate, champion" in str(done.exception)


def test_a_source_is_read_anew_from_the_command_line(finished: Home) -> None:
    """The command of docs/operating.md, as a shell reads it, with a source and a home of this test."""
    (command,) = (line for line in commands(ROOT / "docs" / "operating.md") if "dagster job execute" in line)
    variables, program = command[: command.index("dagster job")], command[command.index("dagster job") :]
    assert {each.partition("=")[0] for each in words(variables)} == {"LIFECYCLE_RECIPE", "LIFECYCLE_HOME", "DAGSTER_HOME"}
    environment = finished.environment | {"DAGSTER_HOME": str(finished.path / "dagster")}
    done = subprocess.run(
        [*finished.command()[:1], "-m", *words(program.replace('"news"', '"chinese"'))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "cleaned_corpora reused" in done.stdout + done.stderr


def test_the_memmap_is_read_by_the_lines_that_the_page_shows(finished: Home) -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    made = finished.summary()["assets"]["pretrain_memmap"]
    known = {"directory": finished.path / "store" / "pretrain_memmap" / made["fingerprint"], "i": 0}
    exec(f"import numpy as np\n{program}", known)
    described = json.loads((known["directory"] / "memmap.json").read_text(encoding="utf-8"))
    assert len(known["tokens"]) == described["tokens"]
    assert 0 < len(known["document"]) < described["tokens"]


def test_a_home_is_saved_put_back_and_its_databases_migrated(finished: Home, tmp_path: Path) -> None:
    """The commands of docs/deployment.md in a folder where `.lifecycle` is a copy of the home."""
    shutil.copytree(finished.path / "dagster", tmp_path / ".lifecycle" / "dagster")
    shutil.copy(finished.path / "mlflow.db", tmp_path / ".lifecycle")
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    lines = [line for line in commands(ROOT / "docs" / "deployment.md") if ".lifecycle" in line]
    programs = ("tar --create", "mv .lifecycle", "dagster instance migrate", "mlflow db upgrade")
    assert [each in line for each, line in zip(programs, lines, strict=True)] == [True] * 4, lines
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in lines:
        environment = finished.environment | {"PATH": path}
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout + done.stderr)
    assert (tmp_path / "lifecycle-home.tar").stat().st_size > 0
    assert files <= {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
