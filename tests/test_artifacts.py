"""Nothing partial is ever visible, nothing damaged is ever reused, nothing is made twice."""

import json
import logging
import os
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.artifacts import Artifact, InputReference, Store, Workspace, fingerprint_of
from lifecycle.digests import digest_file
from lifecycle.errors import CorruptArtifactError, LifecycleError
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Builder:
    """A stage that counts how often it ran."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {"a.txt": b"alpha", "deep/er/b.bin": bytes(range(256))}
        self.calls = 0

    def __call__(self, workspace: Workspace) -> dict[str, Any]:
        self.calls += 1
        for name, content in self.files.items():
            path = workspace.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return {"rows": 3, "share": 0.1, "nothing": float("nan")}


def _make(store: Store, build: Any, identity: Any = None):
    return store.materialize("corpus", "1", identity or {"seed": 1}, (), build)


def _visible(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "corpus").glob("*"))


def test_a_file_that_a_verified_artifact_holds_too_is_not_hashed_again_but_one_that_changed_is(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that are kept between runs reach artifacts as hard links; what the link holds decides, never its name."""
    results = {name: tmp_path / name for name in ("same.bin", "changed.bin")}
    for path in results.values():
        path.write_bytes(bytes(1000))
        os.utime(path, (1_000_000, 1_000_000))

    def link(workspace: Workspace) -> dict[str, Any]:
        for name, path in results.items():
            os.link(path, workspace.out / name)
        return {}

    first = _make(store, link)
    with results["changed.bin"].open("r+b") as file:
        file.write(b"damage")
    hashed = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return digest_file(path)

    monkeypatch.setattr("lifecycle.manifest.digest_file", counted)
    second = _make(store, link, {"seed": 2})
    assert hashed == ["changed.bin"]
    entries = {entry.path: entry.sha256 for entry in second.manifest.files}
    assert entries == {name: digest_file(path) for name, path in results.items()}
    assert entries["same.bin"] == {entry.path: entry.sha256 for entry in first.manifest.files}["same.bin"]


def test_made_once_then_reused_with_the_same_reference(store: Store) -> None:
    build = Builder()
    first, second = _make(store, build), _make(store, build)
    assert (build.calls, first.reused, second.reused) == (1, False, True)
    assert first.artifact == second.artifact
    assert first.manifest == second.manifest
    assert Artifact.model_validate_json(first.artifact.model_dump_json()).manifest().facts["rows"] == 3


def test_an_exception_leaves_nothing_behind_but_the_run_directory(store: Store) -> None:
    def fails(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "half.txt").write_text("half")
        (workspace.run_dir / "checkpoint").write_text("kept")
        raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        _make(store, fails)
    assert _visible(store) == []
    assert list((store.root / ".tmp").iterdir()) == []
    published = _make(store, Builder())
    assert sorted(entry.path for entry in published.manifest.files) == ["a.txt", "deep/er/b.bin"]
    assert (published.run_dir / "checkpoint").read_text() == "kept"


CHILD = """
import sys, time
from pathlib import Path
from lifecycle.artifacts import Store

def build(workspace):
    (workspace.out / "a.txt").write_text("x" * 1000)
    print("building", flush=True)
    time.sleep(float(sys.argv[2]))
    return {"rows": 1}

published = Store(sys.argv[1]).materialize("corpus", "1", {"seed": 1}, (), build)
print(published.artifact.digest, published.reused, flush=True)
"""


def _child(store: Store, seconds: float) -> subprocess.Popen:
    arguments = [sys.executable, "-c", textwrap.dedent(CHILD), str(store.root), str(seconds)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_sigkill_in_the_middle_of_a_build_then_the_same_again(store: Store) -> None:
    killed = _child(store, 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "building\n"
    killed.kill()  # not waited for: a zombie owner is a dead owner
    started = time.monotonic()
    while killed.poll() is None:
        time.sleep(0.01)
    assert _visible(store) == []
    published = _make(store, Builder({"a.txt": b"x" * 1000}))
    assert time.monotonic() - started < 60, "a dead owner on this host must not be waited for"
    assert not published.reused
    assert sorted(path.name for path in published.artifact.path.iterdir()) == ["a.txt", "manifest.json"]
    assert list((store.root / ".tmp").iterdir()) == []


def test_two_processes_make_the_same_thing_once(store: Store) -> None:
    children = [_child(store, 1.0), _child(store, 1.0)]
    said = [child.communicate(timeout=PATIENCE)[0].split() for child in children]
    assert sorted(words[-1] for words in said) == ["False", "True"]
    assert sum("building" in words for words in said) == 1
    assert said[0][-2] == said[1][-2]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _edit_manifest(path: Path, **fields: Any) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | fields))


DAMAGE = {
    "a changed byte": (lambda path: _flip(path / "a.txt"), "a.txt"),
    "a shorter file": (lambda path: os.truncate(path / "deep/er/b.bin", 10), "b.bin"),
    "a missing file": (lambda path: (path / "a.txt").unlink(), "a.txt"),
    "an extra file": (lambda path: (path / "deep/extra").write_text("?"), "extra"),
    "a dangling link": (lambda path: (path / "link").symlink_to("nowhere"), "link"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json"),
    "half a manifest": (lambda path: os.truncate(path / "manifest.json", 100), "manifest.json"),
    "another file list": (lambda path: _edit_manifest(path, files=[]), "manifest.json"),
    "other inputs": (lambda path: _edit_manifest(path, identity={"seed": 2}), "manifest.json"),
    "other figures": (lambda path: _edit_manifest(path, facts={"rows": 4}), "manifest.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_set_aside_and_made_again(store: Store, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    hurt, name = DAMAGE[damage]
    build = Builder()
    first = _make(store, build)
    hurt(first.artifact.path)
    with pytest.raises(CorruptArtifactError, match=name):
        store.find("corpus", first.artifact.fingerprint)
    with caplog.at_level(logging.WARNING):
        second = _make(store, build)
    assert (build.calls, second.reused) == (2, False)
    assert name in caplog.text
    assert second.artifact.digest == first.artifact.digest
    assert len(list((store.root / ".quarantine").iterdir())) == 1


def test_an_artifact_under_anothers_name_is_not_taken_for_it(store: Store) -> None:
    first = _make(store, Builder())
    other = fingerprint_of("corpus", "1", {"seed": 2}, {})
    os.rename(first.artifact.path, store.directory("corpus", other))
    with pytest.raises(CorruptArtifactError, match=first.artifact.fingerprint):
        store.find("corpus", other)


def test_a_touched_file_is_hashed_again_and_reused(store: Store) -> None:
    """Copying or restoring a store changes times and inodes, not content."""
    build = Builder()
    path = _make(store, build).artifact.path / "a.txt"
    os.utime(path, (1, 1))
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    assert _make(store, build).reused
    assert build.calls == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.sampled_from(["a", "b", "d/c", "d/e", "中文"]), st.binary(max_size=50), min_size=1),
    seeds=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
)
def test_the_digest_is_the_content_and_nothing_else(store: Store, files: dict[str, bytes], seeds: tuple[int, int]) -> None:
    """Re-curation that gives the same bytes must not make anything downstream stale."""
    store = Store(store.root / uuid.uuid4().hex)
    first = store.materialize("corpus", "1", {"seed": seeds[0]}, (), Builder(files))
    reverse = dict(reversed(files.items()))
    second = store.materialize("corpus", "2", {"seed": seeds[1]}, (), Builder(reverse))
    assert first.artifact.fingerprint != second.artifact.fingerprint
    assert first.artifact.digest == second.artifact.digest
    third = store.materialize("corpus", "3", {"seed": seeds[1]}, (), Builder(files | {"more": b""}))
    assert third.artifact.digest != first.artifact.digest


def test_the_fingerprint_holds_stage_code_identity_and_input_digests() -> None:
    base = ("corpus", "1", {"seed": 1}, {"raw": "d"})
    others = [
        ("corpora", "1", {"seed": 1}, {"raw": "d"}),
        ("corpus", "2", {"seed": 1}, {"raw": "d"}),
        ("corpus", "1", {"seed": 2}, {"raw": "d"}),
        ("corpus", "1", {"seed": 1}, {"raw": "e"}),
        ("corpus", "1", {"seed": 1}, {"row": "d"}),
    ]
    assert len({fingerprint_of(*each) for each in [base, *others]}) == 6
    assert fingerprint_of("s", "1", {"a": 1, "b": 2}, {}) == fingerprint_of("s", "1", {"b": 2, "a": 1}, {})


def test_what_an_artifact_cannot_hold_is_refused(store: Store, tmp_path: Path) -> None:
    def links(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "weights").symlink_to(tmp_path)
        return {}

    with pytest.raises(LifecycleError, match="plain files"):
        _make(store, links)
    with pytest.raises(LifecycleError, match=r"manifest\.json"):
        _make(store, Builder({"manifest.json": b"{}"}))
    with pytest.raises(LifecycleError, match="wrote no file"):
        _make(store, lambda workspace: {})
    twice = InputReference(name="raw", stage="raw_corpora", fingerprint="f", digest="d")
    with pytest.raises(LifecycleError, match="share a name"):
        store.materialize("corpus", "1", {}, (twice, twice), Builder())
    assert _visible(store) == []


def test_a_builder_that_lost_its_lock_publishes_nothing(store: Store) -> None:
    """Another host takes over after a minute of silence; the first one must not publish over it when it wakes up."""

    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "a.txt").write_text("late")
        for lock in (store.root / ".locks").glob("*.lock"):
            lock.unlink()
        return {}

    with pytest.raises(LifecycleError, match="lock was lost"):
        _make(store, build)
    assert _visible(store) == []
