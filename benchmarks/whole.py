"""The whole path of curation, from a JSONL file to the corpus on disk: read, repair, language, rules, duplicates, split."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lifecycle.corpora.read import read_source
from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, JsonlSource

SETS = {
    "en": ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality"),
    "zh": ("gopher_repetition", "gopher_quality", "chinese_quality"),
}


def config(language: str, workers: int = 1) -> CurationConfig:
    """The rule sets that are measured; everything else as a recipe has it by default."""
    return CurationConfig(quality_sets=SETS[language], workers=workers)


def curate(path: Path, language: str, home: Path, cache: Path | None = None) -> dict[str, float]:
    """Read, clean and write the corpus of `path` below `home`; CPU seconds of each stage, plots and ledgers included."""
    source = JsonlSource(name="input", kind="jsonl", path=str(path), language=language, licence="unknown", tolerance=1)
    raw, cleaned, corpus, run = (home / name for name in ("raw", "cleaned", "corpus", "run"))
    corpus.mkdir(parents=True)
    kept = {name: cache / name for name in ("raw", "cleaned", "corpus")} if cache else {}
    settings = config(language)
    seconds = {}
    started = time.process_time()
    read_source(source, raw, run, 1, kept.get("raw"))
    seconds["read"] = time.process_time() - started
    started = time.process_time()
    clean_source(raw, "input", settings, cleaned, run, kept.get("cleaned"))
    seconds["clean"] = time.process_time() - started
    started = time.process_time()
    build_corpus({"input": cleaned}, settings, corpus, run, kept.get("corpus"))
    seconds["corpus"] = time.process_time() - started
    return seconds


def write_jsonl(path: Path, texts: Sequence[str]) -> None:
    """One object with a field `text` a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def our_seconds(texts: Sequence[str], language: str) -> dict[str, float]:
    """CPU seconds of the stages; imports, compilation and tables are paid by a small run before."""
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        home = Path(temporary)
        write_jsonl(home / "warm.jsonl", texts[:: max(1, len(texts) // 200)])
        curate(home / "warm.jsonl", language, home / "warm")
        write_jsonl(home / "input.jsonl", texts)
        return curate(home / "input.jsonl", language, home / "whole")
