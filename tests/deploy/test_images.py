"""The images' files: linted, and installed by the same script as this very environment."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.tracking.environment import environment_tags
from tests.deploy.commands import unknown_options

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.cuda"]
HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(text: str) -> list[str]:
    """Codes of what hadolint, and ShellCheck within it, find in a Dockerfile."""
    command = [str(HADOLINT), "--config", str(DOCKER / ".hadolint.yaml"), "--format", "json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    return [finding["code"] for finding in json.loads(done.stdout)]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile in order: (name, arguments), continued lines joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").split("\n")
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in joined) if name]


def last_stage(path: Path) -> list[tuple[str, str]]:
    """The instructions of the stage that becomes the image."""
    found = instructions(path)
    start = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_nothing_to_find_for_the_linter(path: Path) -> None:
    assert lint(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (r"FROM (\S+):\S+", r"FROM \1:latest", "DL3007"),
        (r"USER 10001", "USER root", "DL3002"),
        (r"--no-install-recommends ", "", "DL3015"),
        (r"org.opencontainers.image.version=\"0.1.0\"", 'org.opencontainers.image.version="new"', "DL3056"),
        (r"test -n ", "test -n $(ls) ", "SC2046"),
    ],
)
def test_the_linter_is_awake(before: str, after: str, code: str) -> None:
    """A linter whose configuration it does not find, or that ignores everything, finds nothing either."""
    text = DOCKERFILES[0].read_text(encoding="utf-8")
    changed = re.sub(before, after, text)
    assert changed != text
    assert code in lint(changed)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is(path: Path) -> None:
    found = last_stage(path)
    assert [user for name, user in found if name == "USER"][-1].isdecimal(), "Kubernetes can only tell a number from root"
    assert "HEALTHCHECK" in dict(found)
    names = [name for name, _ in found]
    assert names.index("USER") < names.index("CMD")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_commit_is_a_build_argument_that_cannot_be_forgotten(path: Path) -> None:
    found = last_stage(path)
    assert ("ARG", "GIT_COMMIT") in found, "without a default"
    assert any(name == "ENV" and "LIFECYCLE_GIT_COMMIT=$GIT_COMMIT" in rest for name, rest in found)
    check = next(rest for name, rest in found if name == "RUN" and '"$GIT_COMMIT"' in rest)
    for commit, status in (("", 1), ("0123abc", 0)):
        done = subprocess.run(["sh", "-c", check], env={"GIT_COMMIT": commit}, capture_output=True, text=True)
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_packages_come_from_the_script_that_made_this_environment(path: Path) -> None:
    """`make` runs install.sh with the same steps before any test: the images install what the tests ran on."""
    runs = [rest for name, rest in instructions(path) if name == "RUN"]
    steps = re.findall(r"install\.sh \S+ (\w+)", " ".join(runs))
    assert steps == ["packages", "project"]
    assert re.findall(r"install\.sh \S+ (\w+)", (ROOT / "Makefile").read_text(encoding="utf-8")) == steps
    others = [run for run in runs if re.search(r"\bpip install\b", run)]
    allowed = ("requirements.lock", "requirements-cuda.txt", "requirements-build.txt")
    assert all(any(name in run for name in allowed) for run in others), "everything that is installed is pinned in a file"


@pytest.mark.parametrize("path", sorted(DOCKER.glob("requirements-*.txt")), ids=lambda path: path.name)
def test_what_the_cuda_image_adds_is_pinned_and_not_in_the_lock(path: Path) -> None:
    locked = {line.partition("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version[0].isdecimal()
            assert name.lower() not in locked


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_holds_no_secret(path: Path) -> None:
    for name, rest in instructions(path):
        words = [word for word in shlex.split(rest) if not word.startswith("--")]
        if name == "COPY" and "--from=" not in rest:
            assert all(word == "." or list(ROOT.glob(word)) for word in words[:-1]), rest
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"**/.env", ".git", ".lifecycle"} <= set(ignored)
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_health_check_and_the_command_are_known_to_the_installed_dagster() -> None:
    """An option that a new release renames would show first in a container that restarts for ever."""
    for name, rest in last_stage(DOCKERFILES[0]):
        if name in ("CMD", "HEALTHCHECK"):
            assert unknown_options(json.loads(rest[rest.index("[") :])) == []


def test_what_an_image_made_is_traced_to_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image there is neither git nor a checkout, and lineage ended at a host name that no longer exists."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LIFECYCLE_GIT_COMMIT", "0123abc")
    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", "lifecycle@sha256:4567")
    tags = environment_tags()
    assert (tags["lifecycle.git_commit"], tags["lifecycle.image"]) == ("0123abc", "lifecycle@sha256:4567")
    assert "lifecycle.git_dirty" not in tags
