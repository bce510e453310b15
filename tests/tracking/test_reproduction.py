"""What MLflow knows of a model is enough to make it again, and what stands in the way is named before anything runs."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets import reproduce
from assets.reproduce import checkout, run_graph
from lifecycle import stages
from lifecycle.artifacts import Artifact, Published, Store
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import LifecycleError
from lifecycle.recipe.recipe import Recipe
from lifecycle.tracking.reproduction import compare, other_code, other_inputs, other_packages, recorded
from lifecycle.tracking.runs import record
from tests.tracking import chain
from tests.tracking.chain import make_all, small_recipe, writes


@pytest.fixture
def made(tracking_uri: str, store: Store, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A life whose raw digests are those of the real files, recorded with its recipe."""
    monkeypatch.setattr(chain, "SNAPSHOTS", {source.name: snapshot(source).digest for source in recipe.sources})
    made = make_all(recipe, store, until="base_model")
    for stage, published in made.items():
        parts = {None: published} if isinstance(published, Published) else published
        for source, each in parts.items():
            tags = {"lifecycle.partition": source} if source else {}
            where = {"asset": f"small/{stage}", "recipe_name": "small", "store_root": store.root}
            assert record(tracking_uri, each, tags=tags, recipe_text=chain.RECIPE, **where)
    return made


def _refer(store: Store, made: dict[str, Any]) -> None:
    """What Dagster's I/O manager keeps of each asset."""
    for stage, published in made.items():
        for source, each in ({None: published} if isinstance(published, Published) else published).items():
            path = store.reference_path("small", stage, source)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Artifact.model_validate(each.artifact.model_dump()).model_dump_json(), encoding="utf-8")


def test_the_recipe_and_the_whole_life_come_from_mlflow_alone(
    tracking_uri: str, made: dict[str, Any], recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").unlink()
    found = recorded(tracking_uri, "small_base")
    assert found.recipe == recipe
    assert other_code(found) == []
    assert other_inputs(found) == []
    assert other_packages(found) == []
    again = Store(tmp_path / "again")
    assert {(each.name, each.after) for each in compare(found, again)} == {
        *((name, None) for name in ("corpus", "tokenizer", "pretrain_memmap", "base_model")),
        *((f"{part}_corpora/{source.name}", None) for part in ("raw", "cleaned") for source in recipe.sources),
    }
    _refer(again, make_all(recipe, again, until="base_model"))
    results = compare(found, again)
    assert all(each.same for each in results)
    order = [each.name for each in results]
    for earlier, later in (("raw_corpora/packages", "cleaned_corpora/packages"), ("corpus", "tokenizer")):
        assert order.index(earlier) < order.index(later), "in the order in which they are made"
    assert order[-1] == "base_model"


def test_the_first_artifact_that_differs_is_found(
    tracking_uri: str, made: dict[str, Any], recipe: Recipe, tmp_path: Path
) -> None:
    again = Store(tmp_path / "again")
    _refer(again, make_all(recipe, again, until="base_model", build={"tokenizer": writes("another")}))
    results = compare(recorded(tracking_uri, "small_base"), again)
    differing = [each.name for each in results if not each.same]
    assert differing[0] == "tokenizer"
    assert not {"corpus", "cleaned_corpora/packages"} & set(differing)


def test_changed_files_and_newer_code_are_named(
    tracking_uri: str, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recorded(tracking_uri, "small_base")
    newer = tuple(replace(stage, code_version="next") if stage.name == "corpus" else stage for stage in stages.STAGES)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "STAGES", newer)
        assert other_code(found) == [f"corpus: code version {stages.CORPUS.code_version}, here next"]
    recipe = found.recipe
    other = recipe.sources[1].model_copy(update={"packages": ("tqdm",)})
    changed = replace(found, recipe=recipe.model_copy(update={"sources": (recipe.sources[0], other)}))
    [line] = other_inputs(changed)
    assert line.startswith("packages: its bytes are ")
    gone = other.model_copy(update={"packages": ("nosuchpackage",)})
    [line] = other_inputs(replace(found, recipe=recipe.model_copy(update={"sources": (recipe.sources[0], gone)})))
    assert "nosuchpackage" in line
    assert other_packages(replace(found, packages={"numpy": "0.1"}))[0].startswith("numpy 0.1, here ")


def test_a_model_recorded_without_its_recipe_says_so(tracking_uri: str, store: Store, tmp_path: Path) -> None:
    published = make_all(small_recipe(tmp_path), store, until="base_model")["base_model"]
    assert isinstance(published, Published)
    record(tracking_uri, published, asset="a", recipe_name="small", tags={}, store_root=store.root)
    with pytest.raises(LifecycleError, match="no run in MLflow made"):
        recorded(tracking_uri, "small_base")


def test_older_code_runs_and_not_that_of_the_present_directory(
    tracking_uri: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` looks into the present directory first: the newest code ran, and was called the old one."""
    program = "import subprocess, sys, pathlib\npathlib.Path(sys.argv[-1], {name!r}).write_text(__file__)\n"
    child = "subprocess.run([sys.executable, '-m', 'assets.job', sys.argv[-1]], check=True)\n"
    code = tmp_path / "code"
    (code / "assets").mkdir(parents=True)
    (code / "assets" / "__init__.py").touch()
    (code / "assets" / "cli.py").write_text(program.format(name="said") + child)
    (code / "assets" / "job.py").write_text(program.format(name="said by a job"))
    monkeypatch.chdir(Path(__file__).parents[2])
    run_graph(recorded(tracking_uri, "small_base"), tmp_path, code)
    for name, file in (("said", "cli.py"), ("said by a job", "job.py")):
        assert Path((tmp_path / name).read_text()) == code / "assets" / file


def test_older_code_is_cloned_and_leaves_no_trace_in_the_repository(
    tracking_uri: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A work tree stayed registered in the repository that it came from, long after its directory was gone."""
    project = tmp_path / "project"
    project.mkdir()

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *who, *arguments], cwd=project, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    for text in ("old", "new"):
        (project / "code.py").write_text(text)
        git("add", ".")
        git("commit", "--quiet", "-m", text)
    monkeypatch.setattr(reproduce, "PROJECT", project)
    before = sorted(path.relative_to(project) for path in (project / ".git").rglob("*"))
    found = replace(recorded(tracking_uri, "small_base"), commit=git("rev-parse", "HEAD~1"))
    place = checkout(found, tmp_path / "again" / "code")
    assert (place / "code.py").read_text() == "old"
    assert (project / "code.py").read_text() == "new"
    assert sorted(path.relative_to(project) for path in (project / ".git").rglob("*")) == before
    with pytest.raises(LifecycleError, match=r"commit 1{40}.*not to be had.*Fetch that commit"):
        checkout(replace(found, commit="1" * 40), tmp_path / "gone")
    with pytest.raises(LifecycleError, match="no commit of it is on record"):
        checkout(replace(found, commit=None), tmp_path / "unknown")
