"""Our quality and repetition rules beside datatrove's, on the same text, in megabytes per CPU-second, with parity.

    python benchmarks/curation.py --input en=FILE --input zh=FILE [--json FILE] [--quick] [--peer-env DIRECTORY]

An input is JSON lines with a field `text`, or plain text with one document a line; `.gz` is unpacked. datatrove and what its
word splitters need are installed into `--peer-env` (kept, made when it is not there) or a temporary environment. The peer
runs Gopher repetition, Gopher quality, C4 and FineWeb as a chain: a document that one drops is not shown to the next.
Ours computes every statistic of every document. Compilation and model loading are outside both measurements.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lifecycle.curation.marks import mark_tables  # noqa: E402
from lifecycle.curation.quality import KEPT, decisions  # noqa: E402
from lifecycle.curation.rewrite import CITATION  # noqa: E402
from lifecycle.curation.statistics import statistics, statistics_of_arrow  # noqa: E402
from lifecycle.curation.words import words  # noqa: E402
from lifecycle.recipe.corpora import CurationConfig  # noqa: E402

PEER_PACKAGES = ("datatrove==0.10.1", "xxhash<4", "spacy", "jieba", "regex", "orjson")
SETS = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
MEASURED_SECONDS = 2.0
PEER_BYTES, QUICK_BYTES = 8_000_000, 1_200_000


def read_texts(path: Path, limit: int) -> list[str]:
    """Documents of a file, spread over the whole of it, about `limit` bytes of text in all."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.strip()]
    texts = [json.loads(line)["text"] for line in lines] if ".jsonl" in path.suffixes else lines
    step = max(1, sum(len(text.encode()) for text in texts) // limit)
    return texts[::step]


def peer_python(directory: Path) -> Path:
    """The interpreter of the peer's environment, made when it is not there."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
    return python


def peer(python: Path, texts: Sequence[str], language: str, directory: Path) -> dict[str, Any]:
    """What `curation_peer.py` says of the texts; our units of text go with them."""
    _, lower = mark_tables()
    given, result = directory / f"{language}.jsonl", directory / f"{language}.json"
    with given.open("w", encoding="utf-8") as file:
        for text in texts:
            lines = [CITATION.sub("", line.strip()) for line in text.splitlines()]
            counts = statistics(lines, ["en"] * len(lines))["sentences"].tolist() if lines else []
            folded = ["".join(chr(lower[ord(c)]) if ord(c) < lower.size else c for c in word) for word in words(text)]
            sentences = {line.strip(): count for line, count in zip(lines, counts, strict=True)}
            row = {"text": text, "lang": language, "words": folded, "sentences": sentences}
            file.write(json.dumps(row) + "\n")
    script = Path(__file__).with_name("curation_peer.py")
    subprocess.run([str(python), str(script), str(given), str(result)], check=True, stderr=subprocess.DEVNULL)
    return json.loads(result.read_text(encoding="utf-8"))


def our_seconds(texts: Sequence[str], language: str) -> float:
    """CPU seconds of statistics and decisions of all texts, as an Arrow column; the mean of many passes."""
    import pyarrow as pa

    column, languages = pa.array(texts, pa.large_string()), [language] * len(texts)
    config = CurationConfig(quality_sets=SETS)

    def once() -> None:
        decisions(statistics_of_arrow(column, languages), languages, config)

    once()
    passes, started = 0, time.process_time()
    while time.process_time() - started < MEASURED_SECONDS:
        once()
        passes += 1
    return (time.process_time() - started) / passes


def compare(ours: Sequence[str], theirs: Sequence[str | None]) -> tuple[float, Counter[str]]:
    """Share of documents with the same decision, and the classes of difference."""
    differences = Counter(
        f"theirs {other or KEPT}, ours {mine}"
        for mine, other in zip(ours, theirs, strict=True)
        if (mine == KEPT) != (other is None)
    )
    return 1 - sum(differences.values()) / len(ours), differences


def parity(texts: Sequence[str], language: str, said: dict[str, Any]) -> list[dict[str, Any]]:
    """Decisions set by set: on our units of text with the papers' thresholds, and each with its own units and thresholds."""
    found = []
    for units, key, judged_as in (("the same units", "given", "en"), ("own units and thresholds", "own", language)):
        counts, languages = statistics(texts, [judged_as] * len(texts)), [judged_as] * len(texts)
        for name in SETS:
            ours = decisions(counts, languages, CurationConfig(quality_sets=(name,))).tolist()
            share, differences = compare(ours, [row[name] for row in said[key]])
            kept = sum(each == KEPT for each in ours) / len(ours)
            print(f"  {units:<25} {name:<18} agree on {share:7.2%} (we keep {kept:.1%})")
            for what, count in differences.most_common(4):
                print(f"      {count:>5}  {what}")
            entry = {"units": units, "set": name, "agreement": round(share, 5), "differences": dict(differences)}
            found.append(entry)
    return found


def measure(inputs: Sequence[tuple[str, Path]], limit: int, python: Path, scratch: Path) -> list[dict[str, Any]]:
    """One record a language, printed as it is made."""
    records = []
    for language, path in inputs:
        texts = read_texts(path, limit)
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        said = peer(python, texts, language, scratch)
        ours, theirs = megabytes / our_seconds(texts, language), megabytes / said["seconds"]
        print(f"rules, {language}: {len(texts):,} documents, {megabytes:.1f} MB of {path.name}")
        print(f"  ours {ours:.1f}, datatrove {theirs:.2f} MB per CPU-second: {ours / theirs:.0f}x")
        record = {"work": "rules", "language": language, "ours": round(ours, 2), "peer": round(theirs, 3)}
        record |= {"ratio": round(ours / theirs, 1), "megabytes": round(megabytes, 2), "documents": len(texts)}
        records.append(record | {"parity": parity(texts, language, said)})
    return records


def _input(value: str) -> tuple[str, Path]:
    language, _, path = value.partition("=")
    if language not in ("en", "zh") or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{value!r}: give en=FILE or zh=FILE with a file that exists")
    return language, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=_input, action="append", required=True, help="en=FILE or zh=FILE, repeatable")
    parser.add_argument("--json", type=Path, help="also write the records to this file")
    parser.add_argument("--quick", action="store_true", help="less text, under a minute")
    parser.add_argument("--peer-env", type=Path, help="where the peer's virtual environment is, or is to be made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        python = peer_python(arguments.peer_env or Path(temporary) / "peer")
        limit = QUICK_BYTES if arguments.quick else PEER_BYTES
        records = measure(arguments.input, limit, python, Path(temporary))
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
