"""What is new is paid for, what is old is not: files, units of documents, and the corpus over them."""

import json
import random
import string
from pathlib import Path

import pytest

from lifecycle.corpora.read import read_source
from lifecycle.corpora.units import units
from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, JsonlSource
from lifecycle.recipe.rules import Light, LightRules
from tests.tokens.small_corpus import hashes

CONFIG = CurationConfig(workers=1, heldout=HeldoutConfig(share=0.05))
WORDS = ["".join(random.Random(number).choices(string.ascii_lowercase, k=6)) for number in range(3000)]


def text(seed: int) -> str:
    drawn = random.Random(seed)
    return "\n".join(" ".join(drawn.choices(WORDS, k=40)) + "." for _ in range(40))


def write_files(directory: Path, files: int, documents: int = 50) -> None:
    for number in range(files):
        lines = [json.dumps({"text": text(1000 * number + place)}) for place in range(documents)]
        (directory / f"{number:03}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def curate(files: Path, home: Path, cache: Path, config: CurationConfig = CONFIG) -> dict[str, dict]:
    """The three stages; the facts of each by name, its files' hashes with them."""
    source = JsonlSource(name="a", kind="jsonl", path=str(files), licence="own")
    raw, cleaned, corpus = (home / name for name in ("raw", "cleaned", "corpus"))
    corpus.mkdir(parents=True)
    facts = {
        "raw": read_source(source, raw, home / "run", 1, cache / "raw"),
        "cleaned": clean_source(raw, "a", config, cleaned, home / "run", cache / "cleaned"),
        "corpus": build_corpus({"a": cleaned}, config, corpus, home / "run", cache / "corpus"),
    }
    return {name: each | {"files": hashes(home / name)} for name, each in facts.items()}


@pytest.mark.parametrize("place", ["010x", "999"])
def test_a_file_more_costs_its_own_units_only(tmp_path: Path, place: str) -> None:
    """A file that is added in the middle or at the end; the result is that of a run that had all files from the start."""
    files = tmp_path / "files"
    files.mkdir()
    write_files(files, 30)
    first = curate(files, tmp_path / "1", tmp_path / "cache")
    assert first["raw"]["pieces"] > 5
    assert first["cleaned"]["units"] > 3
    again = curate(files, tmp_path / "2", tmp_path / "cache")
    assert again["raw"]["pieces_reused"] == first["raw"]["pieces"]
    assert again["cleaned"]["units_reused"] == first["cleaned"]["units"]
    assert again["corpus"]["units_reused"] == first["corpus"]["units"]
    (files / f"{place}.jsonl").write_text(json.dumps({"text": text(-1)}), encoding="utf-8")
    more = curate(files, tmp_path / "3", tmp_path / "cache")
    assert more["raw"]["rows"] == first["raw"]["rows"] + 1
    assert more["raw"]["pieces_reused"] >= more["raw"]["pieces"] - 2
    assert more["cleaned"]["units_reused"] >= more["cleaned"]["units"] - 2
    fresh = curate(files, tmp_path / "4", tmp_path / "another cache")
    for stage in fresh:
        assert more[stage]["files"] == fresh[stage]["files"], stage


def test_another_rule_is_another_result(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    write_files(files, 4)
    curate(files, tmp_path / "1", tmp_path / "cache")
    strict = CONFIG.model_copy(update={"light": LightRules(en=Light(max_digit_share=0.2), zh=Light(max_digit_share=0.2))})
    other = curate(files, tmp_path / "2", tmp_path / "cache", strict)
    assert other["raw"]["pieces_reused"] == other["raw"]["pieces"]
    assert other["cleaned"]["units_reused"] == 0


def test_a_killed_run_finds_what_it_had_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "files"
    files.mkdir()
    write_files(files, 20)
    source = JsonlSource(name="a", kind="jsonl", path=str(files), licence="own")
    read_source(source, tmp_path / "raw", tmp_path / "run", 1)
    whole = len(units(tmp_path / "raw"))
    from lifecycle.curation import clean

    seen = []
    real = clean.judge

    def judge_until_killed(*arguments: object) -> object:
        seen.append(1)
        if len(seen) > 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(clean, "judge", judge_until_killed)
    with pytest.raises(KeyboardInterrupt):
        clean_source(tmp_path / "raw", "a", CONFIG, tmp_path / "cut", tmp_path / "run", tmp_path / "cache")
    monkeypatch.setattr(clean, "judge", real)
    facts = clean_source(tmp_path / "raw", "a", CONFIG, tmp_path / "out", tmp_path / "run", tmp_path / "cache")
    assert facts["units"] == whole
    assert facts["units_reused"] >= 1
