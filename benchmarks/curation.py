"""Curation beside datatrove on the same text, in megabytes of UTF-8 per CPU-second: rules, MinHash, and the whole path.

    python benchmarks/curation.py --input en=FILE --input zh=FILE [--json FILE] [--quick] [--peer-env DIRECTORY]

An input is JSON lines with a field `text`, or plain text with one document a line; `.gz` is unpacked. datatrove and what its
word splitters need are installed into `--peer-env` (kept, made when it is not there) or a temporary environment.

Rules and MinHash are measured on a sample of the input, the peer's whole path too: its rate does not depend on the size. Our
whole path is measured on about 208 MB (`--quick`: 10), the input and copies of it with shuffled lines, in a process of its
own: once with all that the process costs, and once without what does not grow with the text (`whole.rates`). The peer's
whole path reads, repairs, finds the language, filters and writes as ours does, and its MinHash is over the documents that
our rules keep (`whole_datatrove.py`); held-out text, its passages in the training text and the ledger are ours alone.

A lower bound of that ratio is printed beside it: ours against nothing but the peer's filters, on all documents, and its
MinHash on those that these filters keep. Of Chinese they keep next to nothing, as they look for English words and full
stops: there the peer looks for no duplicates at all.
"""

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import minhash, rules, whole
from benchmarks.peer import peer_python

PEER_PACKAGES = (
    *("datatrove==0.10.1", "xxhash<4", "spacy", "nltk", "tokenizers", "jieba", "regex", "orjson"),
    *("ftfy", "fasttext-numpy2-wheel", "fasteners", "zstandard"),
)
BYTES, QUICK_BYTES = 4_000_000, 1_000_000
"""Text of each language, at most."""
WHOLE_BYTES, QUICK_WHOLE_BYTES = 208_000_000, 10_000_000
"""Text of our whole path, about."""


def read_texts(path: Path, limit: int) -> list[str]:
    """Documents of a file, spread over the whole of it, about `limit` bytes of text in all."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.strip()]
    texts = [json.loads(line)["text"] for line in lines] if ".jsonl" in path.suffixes else lines
    texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    step = max(1, round(sum(len(text.encode()) for text in texts) / limit))
    return texts[::step]


def records(
    python: Path, texts: list[str], everything: list[str], quick: bool, language: str, scratch: Path
) -> Iterator[dict[str, Any]]:
    """One record for each work; `everything` is the text of our whole path, unless `quick`."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    said = rules.peer(python, texts, language, scratch)
    yield rules.measure(texts, language, said)
    yield minhash.measure(python, texts, language)
    left = minhash.theirs(python, rules.kept_by_the_peer(texts, said), language)
    least = megabytes / (said["seconds"] + left["signatures"] + left["clusters"])
    theirs = whole.theirs(python, texts, language)
    ours = whole.rates(texts if quick else everything, language, QUICK_WHOLE_BYTES if quick else WHOLE_BYTES, scratch)
    for name, work in (("total", "whole path, imports and pictures included"), ("steady", "whole path, each further MB")):
        record = {"work": work, "language": language, "ours": round(ours[name], 2), "peer": round(theirs["rate"], 3)}
        yield record | {
            "ratio": round(ours[name] / theirs["rate"], 1),
            "ratio_at_least": round(ours[name] / least, 1),
            "peer_filters_and_minhash": round(least, 3),
            "megabytes": ours["megabytes"][1],
            "documents": ours["documents"],
            "of": {key: ours[key] for key in ("megabytes", "cpu_seconds", "stages")},
            "of_the_peer": theirs,
        }


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
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        python = peer_python(arguments.peer_env or Path(temporary) / "peer", PEER_PACKAGES)
        for language, path in arguments.input:
            texts = read_texts(path, QUICK_BYTES if arguments.quick else BYTES)
            print(f"{path.name}: {len(texts):,} documents of {language}")
            everything = read_texts(path, sys.maxsize)
            found += records(python, texts, everything, arguments.quick, language, Path(temporary))
    print("\n| work | language | documents | MB | ours, MB/CPU-s | datatrove | ratio | at least |")
    print("|---" * 8 + "|")
    for record in found:
        size = f"{record['documents']:,} | {record['megabytes']:.1f}"
        figures = f"{record['ours']:.1f} | {record['peer']:.2f} | {record['ratio']:.0f}"
        least = f"{record['ratio_at_least']:.0f}" if "ratio_at_least" in record else ""
        print(f"| {record['work']} | {record['language']} | {size} | {figures} | {least} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
