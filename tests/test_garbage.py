"""What may be removed from a store: nothing that is in use, nothing young, and nothing outside."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lifecycle.artifacts import Artifact, InputReference, Published, Store, Workspace
from lifecycle.curation.corpus import build_corpus
from lifecycle.endpoint.cache import FOLDER, Answer, save
from lifecycle.errors import LifecycleError
from lifecycle.files import write_atomically
from lifecycle.garbage import find_garbage, remove
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig
from tests.curation.cleaning import write_documents
from tests.curation.test_minhash import random_text
from tests.patience import PATIENCE

OLD = time.time() - 30 * 86400
WEEK = 7 * 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store, stage: str, content: str, *inputs: Published) -> Published:
    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "data.txt").write_text(content)
        (workspace.run_dir / "log.txt").write_text("log")
        return {}

    references = tuple(
        InputReference(name=each.artifact.stage, **each.artifact.model_dump(exclude={"uri"})) for each in inputs
    )
    return store.materialize(stage, "1", content, references, build)


def age(store: Store) -> None:
    for path in [store.root, *store.root.rglob("*")]:
        if not path.is_symlink():
            os.utime(path, (OLD, OLD))


def refer(store: Store, published: Published) -> None:
    write_atomically(
        store.root / ".refs" / "r" / published.artifact.stage / "artifact.json", published.artifact.model_dump_json()
    )


def names(store: Store, **options: Any) -> set[str]:
    return {str(each.path.relative_to(store.root)) for each in find_garbage(store, (), WEEK, **options)}


def test_only_what_nothing_in_use_was_made_from_goes_with_its_run(store: Store) -> None:
    corpus, other = make(store, "corpus", "a"), make(store, "corpus", "b")
    model, lost = make(store, "model", "c", corpus), make(store, "model", "d", other)
    version, its_input = make(store, "model", "e", other), other
    refer(store, model)
    age(store)
    found = find_garbage(store, [(version.artifact.stage, version.artifact.fingerprint)], WEEK)
    fingerprint = lost.artifact.fingerprint
    assert {str(each.path.relative_to(store.root)) for each in found} == {f"model/{fingerprint}", f".runs/{fingerprint}"}
    assert [each.path for each in remove(store, found)] == [each.path for each in found]
    assert store.find("model", fingerprint) is None
    for kept in (corpus, model, version, its_input):
        assert store.find(kept.artifact.stage, kept.artifact.fingerprint)
        assert kept.run_dir.is_dir()
    assert names(store) == {f"corpus/{other.artifact.fingerprint}", f".runs/{other.artifact.fingerprint}"} | {
        f"model/{version.artifact.fingerprint}",
        f".runs/{version.artifact.fingerprint}",
    }


def test_what_is_young_stays_and_so_does_a_run_that_could_go_on(store: Store) -> None:
    lost = make(store, "model", "d")
    assert names(store) == set()
    run = store.run_directory("unfinished")
    (run / "checkpoints" / "step_4").mkdir(parents=True)
    age(store)
    (run / "checkpoints" / "step_4" / "weights").write_text("x")
    assert names(store) == {f"model/{lost.artifact.fingerprint}", f".runs/{lost.artifact.fingerprint}"}


def test_what_an_asset_refers_to_meanwhile_is_not_removed(store: Store) -> None:
    lost = make(store, "model", "d")
    age(store)
    found = find_garbage(store, (), WEEK)
    refer(store, lost)
    assert list(remove(store, found)) == []
    assert lost.run_dir.is_dir()
    assert store.find("model", lost.artifact.fingerprint)


def test_what_an_asset_refers_to_after_the_first_is_gone_is_not_removed(store: Store) -> None:
    """References are read again only where their directory changed: here it had been left alone for long."""
    kept = make(store, "model", "kept")
    refer(store, kept)
    for name in ("d", "e"):
        make(store, "model", name)
    age(store)
    reference = next((store.root / ".refs").rglob("*.json"))
    os.utime(reference.parent, (0, 0))
    found = [each for each in find_garbage(store, (), WEEK) if each.path.parent.name == "model"]
    removing = remove(store, found)
    next(removing)
    other = next(each for each in found if each.path.exists())
    meanwhile = Artifact.model_validate_json(reference.read_text(encoding="utf-8"))
    meanwhile = meanwhile.model_copy(update={"fingerprint": other.path.name, "uri": str(other.path)})
    write_atomically(reference.with_name("other.json"), meanwhile.model_dump_json())
    assert list(removing) == []
    assert other.path.is_dir()


def test_a_run_at_work_keeps_its_workspace(store: Store) -> None:
    """With --days 0 nothing is too young: the directory that a run wrote into went away beneath it."""
    removers: list[threading.Thread] = []

    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "first.txt").write_text("a")
        found = [each for each in find_garbage(store, (), -60.0) if each.path == workspace.out]
        assert len(found) == 1
        removers.append(threading.Thread(target=lambda: gone.extend(remove(store, found))))
        removers[0].start()
        removers[0].join(1)
        (workspace.out / "second.txt").write_text("b")
        return {}

    gone: list[Any] = []
    made = store.materialize("model", "1", "x", (), build)
    removers[0].join(PATIENCE)
    assert not removers[0].is_alive()
    assert sorted(entry.path for entry in made.manifest.files) == ["first.txt", "second.txt"]
    assert gone == []


def test_links_out_of_the_store_are_neither_followed_nor_removed(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "manifest.json").write_text("{}")
    make(store, "model", "d")
    (store.root / "model" / "linked").symlink_to(outside)
    (store.root / ".tmp").mkdir(exist_ok=True)
    (store.root / ".tmp" / "linked").symlink_to(outside)
    lost = make(store, "other", "e").artifact
    age(store)
    found = find_garbage(store, (), WEEK)
    assert not any("linked" in str(each.path) for each in found)
    (store.directory("other", lost.fingerprint) / "link").symlink_to(outside)
    list(remove(store, found))
    assert (outside / "manifest.json").read_text() == "{}"


def test_a_file_that_another_artifact_shares_frees_nothing(store: Store) -> None:
    lost = make(store, "model", "d" * 1000)
    kept = make(store, "corpus", "a")
    os.link(lost.artifact.path / "data.txt", kept.artifact.path / "shared")
    refer(store, kept)
    age(store)
    sizes = {each.path.parent.name: each.size for each in find_garbage(store, (), WEEK)}
    assert sizes["model"] == (lost.artifact.path / "manifest.json").stat().st_size


def test_kept_results_go_only_when_asked_for(store: Store) -> None:
    (store.results / "corpus" / "ab" / "abcd").mkdir(parents=True)
    age(store)
    assert names(store) == set()
    assert names(store, cache=True) == {".cache/corpus"}


def test_texts_that_the_corpus_keeps_to_show_go_with_the_kept_results(store: Store, tmp_path: Path) -> None:
    """The largest clusters are kept as plain text, of sources, too, whose licence is revoked later."""
    texts = [random_text(seed, 60) for seed in range(20)]
    cleaned = write_documents(tmp_path / "cleaned", [*texts, texts[0]])
    (tmp_path / "out").mkdir()
    curation = CurationConfig(workers=1, heldout=HeldoutConfig(share=0.5))
    build_corpus({"sample": cleaned}, curation, tmp_path / "out", tmp_path / "run", store.results / "corpus")

    def showing() -> list[Path]:
        return [path for path in store.root.rglob("*") if path.is_file() and texts[0].encode() in path.read_bytes()]

    assert showing()
    list(remove(store, find_garbage(store, (), 0, cache=True)))
    assert not showing()


def test_answers_that_were_paid_for_go_only_by_their_own_name(store: Store) -> None:
    """`gc --cache` removed a judge's answers with what costs only time."""
    (store.results / "corpus").mkdir(parents=True)
    save(store.results / FOLDER, "ab" * 32, Answer("well", True, 1, 1))
    age(store)
    assert names(store, cache=True) == {".cache/corpus"}
    assert names(store, paid_answers=True) == {".cache/endpoint"}
    assert names(store, cache=True, paid_answers=True) == {".cache/corpus", ".cache/endpoint"}


def test_with_an_unreadable_manifest_in_use_nothing_is_safe_to_remove(store: Store) -> None:
    model = make(store, "model", "c")
    make(store, "model", "d")
    refer(store, model)
    (model.artifact.path / "manifest.json").write_text("{")
    age(store)
    with pytest.raises(LifecycleError, match="nothing is removed"):
        find_garbage(store, (), WEEK)
