"""The whole path of curation, from a JSONL file to the corpus on disk: read, repair, language, rules, duplicates, split."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peer import answer
from lifecycle.corpora.arrow import rows_table
from lifecycle.corpora.documents import SCHEMA
from lifecycle.corpora.read import read_source
from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.judge import judge
from lifecycle.curation.language import fast_model_file
from lifecycle.curation.quality import KEPT
from lifecycle.recipe.corpora import CurationConfig, JsonlSource

FILE_BYTES = 2_000_000
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


def write_files(texts: Sequence[str], directory: Path, times: int) -> int:
    """The texts so many times over in files of about `FILE_BYTES`; the copies have their lines shuffled, so that they are
    other documents. Returns the bytes of text."""
    directory.mkdir()
    drawn = random.Random(1)
    some: list[str] = []
    number = size = total = 0
    for copy in range(times):
        for text in texts:
            if copy:
                lines = text.split("\n")
                drawn.shuffle(lines)
                text = f"{copy}\n" + "\n".join(lines)
            some.append(text)
            size += len(text.encode())
            total += len(text.encode())
            if size > FILE_BYTES:
                write_jsonl(directory / f"{number:05}.jsonl", some)
                some, size, number = [], 0, number + 1
    write_jsonl(directory / f"{number:05}.jsonl", some)
    return total


def theirs(python: Path, texts: Sequence[str], language: str) -> dict[str, Any]:
    """datatrove's whole path over some texts, in a process of its own (`whole_datatrove.py`): its megabytes per CPU-second,
    the seconds of each part, and how many documents it read, signed (those that our rules keep) and wrote."""
    kept = kept_by_us(texts, language)
    rows = [
        {"text": text, "id": str(number), "kept": keep} for number, (text, keep) in enumerate(zip(texts, kept, strict=True))
    ]
    with TemporaryDirectory(prefix="whole-benchmark-") as temporary:
        source = Path(temporary) / "input.jsonl"
        source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        said = answer(python, "whole_datatrove.py", source, language, fast_model_file(), temporary)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    said["rate"] = megabytes / sum(said["seconds"].values())
    return said | {"read": len(texts), "signed": sum(kept)}


def kept_by_us(texts: Sequence[str], language: str) -> list[bool]:
    """Whether each text passes the rules before duplicates are looked for."""
    table = rows_table([{"text": text, "lang": language} for text in texts], SCHEMA)
    return (judge(table, config(language)).decided == KEPT).tolist()


def run(files: Path, language: str, home: Path, cache: Path | None = None) -> dict[str, Any]:
    """One whole run in a process of its own: its CPU seconds with imports, its peak memory, and those of each stage.

    It may keep the byte code of our modules, which every installed package has.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, __file__, str(files), language, str(home), *([str(cache)] if cache else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def rates(texts: Sequence[str], language: str, size: int, scratch: Path) -> dict[str, Any]:
    """Megabytes per CPU-second of two runs, on about `size` bytes and on a quarter of them.

    `total` is the larger run with all that a process costs (imports, pictures); `steady` is the difference of the two runs,
    what each further megabyte costs. Compilation is paid before, by a run like the larger one: less text does not ask
    for every kernel.
    """
    once = sum(len(text.encode()) for text in texts)
    times = max(4, round(size / once))
    found = {}
    for name, factor in (("warm", times), ("small", times // 4), ("large", times)):
        files = scratch / f"{language}-{name}"
        megabytes = write_files(texts, files, factor) / 1e6
        found[name] = (megabytes, run(files, language, scratch / f"{language}-{name}-home"))
    # Not between the runs: ext4 looks through the inodes of files that were deleted shortly before for each that it makes.
    for name in found:
        for directory in (scratch / f"{language}-{name}", scratch / f"{language}-{name}-home"):
            shutil.rmtree(directory)
    (small, less), (large, more) = found["small"], found["large"]
    steady = (large - small) / (more["cpu_seconds"] - less["cpu_seconds"])
    return {
        "total": large / more["cpu_seconds"],
        "steady": steady,
        "megabytes": [round(small, 1), round(large, 1)],
        "cpu_seconds": [less["cpu_seconds"], more["cpu_seconds"]],
        "stages": more["stages"],
        "documents": len(texts) * times,
    }


def peak_bytes() -> int:
    """The most memory that this process has held; `getrusage` would count that of the process which started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def main(files: str, language: str, home: str, cache: str | None = None) -> None:
    """What `run` measures."""
    stages = curate(Path(files), language, Path(home), Path(cache) if cache else None)
    seconds = {name: round(value, 2) for name, value in stages.items()}
    found = {"cpu_seconds": round(time.process_time(), 2), "peak_megabytes": round(peak_bytes() / 1e6), "stages": seconds}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
