"""Sources that change, come and go, through the real graph up to the memmaps, and what lineage and gc know of it."""

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lifecycle.artifacts import Store
from lifecycle.garbage import find_garbage
from lifecycle.previous import last_artifact
from lifecycle.retention import retained
from lifecycle.tracking.use import used_by
from tests.graph_home import ROOT
from tests.operation.life import LIFE, WORDS

RECIPE = f"""
name: kept
sources:
SOURCES
{LIFE}operation:
  schedules: [{{name: nightly, cron: "0 3 * * *"}}]
  drops: [{{name: arriving, sources: [news]}}]
  training: {{threshold: 0.2, device: H100, automatic: {{gpu_hours: 5, days: 30}}}}
  retention: {{last: 2}}
  alerts: {{disk_warn: 0.998, disk_fail: 0.999, stale_after_days: 30}}
"""
SOURCE = '  - {name: NAME, kind: jsonl, path: "DATA/NAME", marker: "*.done", language: en, licence: test data}\n'


@dataclass(frozen=True)
class Place:
    """A home, files of sources in it, and the graph in a process of its own for each state of the recipe."""

    path: Path

    def write(self, source: str, name: str, documents: int, seed: int, whole: bool = True) -> None:
        draw = random.Random(seed)

        def sentence() -> str:
            one, two, three, four = (draw.choice(WORDS) for _ in range(4))
            return f"The {one} of the {two} was near a {three} in the {four} of {source} {draw.randrange(10**6)}."

        directory = self.path / source
        directory.mkdir(exist_ok=True)
        rows = [{"text": " ".join(sentence() for _ in range(6))} for _ in range(documents)]
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        if whole:
            (directory / f"{name}.done").touch()

    def recipe(self, *sources: str) -> Path:
        """A file with a recipe of these sources."""
        path = self.path / f"{'-'.join(sources)}.yaml"
        listed = "".join(SOURCE.replace("NAME", name) for name in sources)
        path.write_text(RECIPE.replace("SOURCES\n", listed).replace("DATA", str(self.path)))
        return path

    def ticks(self, recipe: Path, *names: str) -> list[dict[str, Any]]:
        environment = os.environ | {"LIFECYCLE_HOME": str(self.path / "home"), "LIFECYCLE_RECIPE": str(recipe)}
        command = [sys.executable, "-m", "tests.operation.graph", *names]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"tick"')]

    @property
    def store(self) -> Store:
        return Store(self.path / "home" / "store")

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path / 'home' / 'mlflow.db'}"

    def sources_of_corpus(self) -> set[str]:
        corpus = last_artifact(self.store, "kept", "corpus")
        assert corpus
        return set(pq.read_table(corpus.path / "train", columns=["source"])["source"].to_pylist())


@pytest.mark.slow
def test_a_source_is_added_grows_and_loses_its_licence(tmp_path: Path) -> None:
    """Its documents leave the next curation; lineage says which models had them; what was kept of it is no garbage yet."""
    place = Place(tmp_path)
    place.write("news", "first.jsonl", 120, 1)
    place.write("books", "first.jsonl", 120, 2)
    place.write("letters", "first.jsonl", 120, 4)
    place.write("news", "growing.jsonl", 120, 3, whole=False)

    news_is_whole = f"touch:{tmp_path / 'news' / 'growing.jsonl.done'}"
    follow = "memmaps_follow_sources"
    before = ("nightly", follow, "nightly", follow, "base")
    grown = (news_is_whole, "arriving", "arriving", "train_when_due", follow, "train_when_due")
    without = (f"recipe:{place.recipe('news', 'letters')}", "nightly", follow)
    ticks = place.ticks(place.recipe("news", "books"), *before, *grown, *without)
    first, corpus, again, nothing, *looks, added, without_books = ticks
    assert [(each["source"], each["made"]) for each in first["ran"]] == [
        ("news", ["raw_corpora", "cleaned_corpora"]),
        ("books", ["raw_corpora", "cleaned_corpora"]),
    ]
    (memmaps,) = corpus["ran"]
    assert sorted(memmaps["made"]) == ["corpus", "pretrain_memmap", "tokenizer"]
    passed, said = memmaps["checks"]["training_due"]
    assert not passed
    assert "no base model was trained yet: launch the job `pretrain` (about" in said
    assert "by the preflight's model at 40% MFU of H100" in said
    assert memmaps["checks"]["disk_has_room"][0]
    assert (again["ran"], again["skipped"]) == ([], "news, books: nothing changed")
    assert (nothing["ran"], nothing["asked"]) == ([], [])

    settling, settled, unjudged, corpus, train = looks
    assert "waiting until it is still" in settling["skipped"]
    assert [each["source"] for each in settled["ran"]] == ["news"]
    assert "has not looked at this memmap and this base model yet" in unjudged["skipped"]
    passed, said = corpus["ran"][0]["checks"]["training_due"]
    assert not passed
    assert "launch the job `pretrain` (about" in said
    assert "measured on the last training" in said
    assert train["asked"] == ["pretrain"], train
    base = last_artifact(place.store, "kept", "base_model")
    assert base
    its_corpus = place.store.input_artifact(place.store.input_artifact(base, "pretrain_memmap"), "corpus")

    assert [each["source"] for each in added["ran"]] == ["letters"]
    assert without_books["ran"][0]["success"]
    assert place.sources_of_corpus() == {"news", "letters"}
    (use,) = used_by(place.uri, "books").found
    assert (use.version.label, use.version.fingerprint) == ("kept_base/1", base.fingerprint)

    def garbage(*registered: tuple[str, str]) -> set[str]:
        return {each.path.name for each in find_garbage(place.store, registered, -60.0)}

    (place.store.root / ".refs/kept/base_model/artifact.json").unlink()
    assert its_corpus.fingerprint not in garbage((base.stage, base.fingerprint)), "a registered model was made from it"
    assert {base.fingerprint, its_corpus.fingerprint} <= garbage(), "of three corpora the last two are kept"
    assert not {fingerprint for _, fingerprint in retained(place.store)} & garbage()
