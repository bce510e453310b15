"""Every source of the sample recipe, read and cleaned: nothing is lost without an account."""

from pathlib import Path

import pytest

from lifecycle.corpora.documents import iter_documents
from lifecycle.corpora.read import read_source
from lifecycle.corpora.snapshot import snapshot, source_files
from lifecycle.curation.clean import clean_source
from lifecycle.ledger import Ledger, chain
from lifecycle.recipe.recipe import load_recipe
from tests.shared_data import ROOT, shared

RECIPE = load_recipe(Path(__file__).parents[2] / "deploy" / "recipes" / "bilingual-sample.yaml")
FILES = [source for source in RECIPE.sources if source.kind != "python_docs"]


@pytest.mark.slow
@pytest.mark.parametrize("source", FILES, ids=lambda source: source.name)
def test_a_source_is_read_and_cleaned(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("LIFECYCLE_DATA", str(ROOT))
    shared("raw")
    raw, cleaned = tmp_path / "raw", tmp_path / "cleaned"
    raw.mkdir()
    cleaned.mkdir()
    read_source(source, raw, tmp_path / "run", workers=1)
    read = Ledger.read(raw).sources[0]
    assert read.read == read.kept + sum(read.dropped.values())
    assert read.kept == sum(1 for _ in iter_documents(raw))
    assert snapshot(source).bytes > 0
    clean_source(raw, source.name, RECIPE.curation.of(source), cleaned, tmp_path / "run")
    whole = chain([read, Ledger.read(cleaned).sources[0]])
    assert whole.read == whole.kept + sum(whole.dropped.values())
    with capsys.disabled():
        print(f"\n{source.name:23} {whole.read:6} read {whole.kept:6} kept {whole.characters_kept:9,} characters", end=" ")
        print(whole.dropped, read.notes, end="")


def test_every_file_of_the_folder_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_DATA", str(ROOT))
    here = {path for path in shared("raw").rglob("*") if path.is_file()}
    read = {location for source in FILES for location, _ in source_files(source)}
    assert {path.name for path in here - read} == {"trafilatura_cc_pages.licences.json"}
