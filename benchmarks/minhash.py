"""MinHash signatures and clusters: ours and datatrove's on the same text, in megabytes of UTF-8 per CPU-second.

    python benchmarks/minhash.py [--input LANGUAGE=PATH ...] [--quick] [--json FILE]

PATH is what a recipe's path may be: JSONL files with a `text` field, plain or compressed. Without `--input` the text is the
documentation strings of the installed packages (English). datatrove needs another xxhash than lifecycle, so that the
script makes an environment for it below the temporary directory, once. Both read text from memory, in one process: what is
measured is word splitting, hashing, banding and clustering. Both use 5-word shingles and 14 bands of 8 rows; datatrove joins
every pair that meets in a band, we only those whose signatures agree in 0.72 of all places, and we keep the chains apart.
The rows that both remove are fewer than either's: of two copies each may keep the other one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.corpora.jsonl import read as read_jsonl
from lifecycle.corpora.python_docs import read as read_docs
from lifecycle.corpora.records import Notes
from lifecycle.curation.banding import Part, SignedTexts, write_part
from lifecycle.curation.minhash import Signatures, signatures
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.recipe.corpora import JsonlSource, MinHashConfig, PythonDocsSource

PEER = ("datatrove==0.10.*", "xxhash<4", "spacy", "nltk", "tokenizers", "jieba", "orjson")
CONFIG = MinHashConfig()
PIECE_CHARACTERS = 4000
QUICK_CHARACTERS = {"en": 6_000_000, "zh": 2_000_000}


def texts(language: str, path: str | None) -> Iterator[str]:
    """Documents, long ones in pieces of `PIECE_CHARACTERS`, so that there are enough of them to cluster."""
    if path is None:
        source = PythonDocsSource(name="docs", kind="python_docs", packages=("stdlib", "numpy", "pandas"), licence="various")
        records = read_docs(source, workers=1)
    else:
        source = JsonlSource(name="input", kind="jsonl", path=path, language=language, licence="unknown")
        records = read_jsonl(source, Notes())
    for record in records:
        text = record["text"] if isinstance(record, dict) else ""
        for begin in range(0, len(text), PIECE_CHARACTERS):
            yield text[begin : begin + PIECE_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def peer_python() -> Path:
    """The Python of datatrove's environment, made when it is not there."""
    directory = Path(tempfile.gettempdir()) / "lifecycle-benchmark-datatrove"
    python = directory / "bin" / "python"
    if subprocess.run([python, "-c", "import datatrove, spacy, jieba, tokenizers"], capture_output=True).returncode:
        venv.create(directory, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER], check=True)
    return python


def ours(documents: list[str]) -> dict[str, Any]:
    """CPU seconds of our signatures and clusters; compilation is outside, as cached compilation is in use."""
    removed_of(documents[:2], signatures(documents[:2], CONFIG))
    started = time.process_time()
    signature = signatures(documents, CONFIG)
    signed = time.process_time()
    removed = removed_of(documents, signature)
    return {"signatures": signed - started, "clusters": time.process_time() - signed, "removed": removed}


def removed_of(documents: list[str], signature: Signatures) -> list[int]:
    """Signatures and band keys written to disk and read again, candidates, clusters; longer documents are preferred."""
    lengths = np.array([len(text) for text in documents])
    with tempfile.TemporaryDirectory(prefix="minhash-benchmark-") as work:
        part = Part(Path(work) / "0", 0, len(documents))
        write_part(part, signature, CONFIG, partitions=1)
        texts = SignedTexts((part,), CONFIG, partitions=1)
        found = near_duplicates(
            texts, lambda some: some[np.lexsort((some, -lengths[some]))], len(documents), None, workers=1
        )
    return sorted(found.texts.tolist())


def theirs(documents: list[str], language: str) -> dict[str, Any]:
    """The same of datatrove, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="minhash-benchmark-") as temporary:
        source = Path(temporary) / "input.jsonl"
        with source.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents)
        command = [peer_python(), Path(__file__).with_name("minhash_datatrove.py"), source, language, temporary]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"datatrove failed:\n{result.stderr[-2000:]}")
        return json.loads(result.stdout.splitlines()[-1])


def measure(language: str, path: str | None, quick: bool) -> Iterator[dict[str, Any]]:
    """One row for each part of the work."""
    documents: list[str] = []
    characters = 0
    for text in texts(language, path):
        documents.append(text)
        characters += len(text)
        if quick and characters >= QUICK_CHARACTERS[language]:
            break
    megabytes = sum(len(text.encode("utf-8")) for text in documents) / 1e6
    us, them = ours(documents), theirs(documents, language)
    common = len(set(us["removed"]) & set(them["removed"]))
    for work, parts in (("signatures", ["signatures"]), ("signatures and clusters", ["signatures", "clusters"])):
        speeds = [megabytes / max(1e-9, sum(each[part] for part in parts)) for each in (us, them)]
        yield {
            "work": f"MinHash {work}",
            "language": language,
            "ours": round(speeds[0], 2),
            "peer": round(speeds[1], 3),
            "ratio": round(speeds[0] / speeds[1], 1),
            "megabytes": round(megabytes, 1),
            "documents": len(documents),
            "removed": [len(us["removed"]), len(them["removed"]), common],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", action="append", metavar="LANGUAGE=PATH", help="en=… or zh=…; may be given again")
    parser.add_argument("--quick", action="store_true", help="a part of the text, under a minute")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    inputs = [each.partition("=") for each in arguments.input or ["en="]]
    if any(language not in QUICK_CHARACTERS for language, _, _ in inputs):
        parser.error("--input: write en=PATH or zh=PATH")
    rows = [row for language, _, path in inputs for row in measure(language, path or None, arguments.quick)]
    print("| work | language | MB | ours, MB/CPU-s | datatrove | ratio | removed: ours, datatrove, both |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        removed = ", ".join(map(str, row["removed"]))
        figures = f"{row['megabytes']} | {row['ours']} | {row['peer']} | {row['ratio']}× | {removed}"
        print(f"| {row['work']} | {row['language']} | {figures} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
