"""Real text through cleaning and the corpus, in Chinese and English."""

from pathlib import Path

import pytest

from lifecycle.curation.account import ways
from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig
from tests.corpora.reading import read
from tests.curation.cleaning import account_of, rows
from tests.shared_data import shared

CONFIG = CurationConfig(workers=1)


def test_standard_library_keeps_its_english(tmp_path: Path) -> None:
    """Short and codey documentation strings were once taken for Danish or Latin and dropped wholesale."""
    packages = ["email", "json", "asyncio", "logging", "unittest", "xml", "http", "concurrent", "multiprocessing"]
    read(tmp_path, kind="python_docs", packages=packages)
    out = tmp_path / "clean"
    out.mkdir()
    clean_source(tmp_path / "out", "sample", CONFIG, out, tmp_path / "run")
    entry = account_of(out)
    assert entry.read > 1000
    assert entry.dropped.get("language", 0) < 0.005 * entry.read
    assert entry.kept > 0.6 * entry.read


@pytest.mark.slow
def test_chinese_and_english_files_to_a_corpus(tmp_path: Path) -> None:
    files = {
        "laws": ("zh", "raw/zh/laws.jsonl.gz"),
        "wiki": ("zh", "raw/zh/oi_wiki.jsonl.gz"),
        "peps": ("en", "raw/en/python_peps.jsonl.gz"),
    }
    raw, cleaned = {}, {}
    for name, (language, path) in files.items():
        read(tmp_path / name, name=name, kind="jsonl", path=str(shared(path)), language=language, tolerance=0.05)
        raw[name] = tmp_path / name / "out"
        cleaned[name] = tmp_path / name / "clean"
        cleaned[name].mkdir()
        clean_source(raw[name], name, CONFIG, cleaned[name], tmp_path / name / "run")
        entry = account_of(cleaned[name], name)
        assert entry.kept > 0.9 * entry.read, entry.dropped
        assert {document["lang"] for document in rows(cleaned[name])} <= {"zh", "en"}
        assert entry.characters_kept > 0.97 * entry.characters_read
    out = tmp_path / "corpus"
    out.mkdir()
    build_corpus(cleaned, CurationConfig(heldout=HeldoutConfig(share=0.1), workers=1), out, tmp_path / "run")
    whole = [way.total for way in ways(raw, cleaned, out).values()]
    for entry in whole:
        assert entry.read == entry.kept + sum(entry.dropped.values())
    assert sum(entry.kept for entry in whole) == len(rows(out / "train")) + len(rows(out / "heldout"))
