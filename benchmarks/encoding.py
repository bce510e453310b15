"""Our bulk encoding beside datatrove's DocumentTokenizer and plain `tokenizers`, in tokens per CPU-second, ids compared.

    python benchmarks/encoding.py --input en=FILE --input zh=FILE [--json FILE] [--quick] [--peer-env DIRECTORY]

An input is JSON lines with a field `text`. One tokenizer is trained on all of them. `parquet to ids` reads Parquet and
writes ids to disk, in a fresh process with empty caches, our comparison of a sample with `tokenizers` included; the loading
of the tokenizer (a constant, some tenths of a second) is outside on both sides. `text to ids` is encoding alone: `cold` is
the first pass over the texts, `warm` the second.
datatrove is installed into `--peer-env` (kept, made when it is not there) or a temporary environment.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peer import peer_python  # noqa: E402
from lifecycle.corpora.documents import DocumentWriter, iter_documents  # noqa: E402
from lifecycle.recipe.training import TokenizerConfig  # noqa: E402
from lifecycle.tokens.corpus import encode_with  # noqa: E402
from lifecycle.tokens.encode import BulkEncoder, fast_encoder  # noqa: E402
from lifecycle.tokens.tokenizer import DOCUMENT_END, build_tokenizer, plain_text_encoder  # noqa: E402

PEER_PACKAGES = ("datatrove==0.10.1", f"tokenizers=={version('tokenizers')}", "xxhash<4", "pyarrow", "orjson")
VOCABULARY, QUICK_VOCABULARY = 32_000, 8_000
TRAINING_MEGABYTES, QUICK_TRAINING_MEGABYTES = 6.0, 1.0
QUICK_BYTES = 4_000_000
HELDOUT = 20
"""Documents on which the tokenizer is measured after its training."""


def write_corpora(inputs: Sequence[tuple[str, Path]], limit: int | None, directory: Path) -> None:
    """One Parquet corpus a language, and one of all languages for the training of the tokenizer."""
    with DocumentWriter(directory / "all" / "train") as every, DocumentWriter(directory / "all" / "heldout") as heldout:
        for language, path in inputs:
            taken = 0
            with DocumentWriter(directory / language) as writer, path.open(encoding="utf-8") as file:
                for number, line in enumerate(file):
                    text = json.loads(line)["text"]
                    identifier = f"{language}:{number}"
                    row = {"id": identifier, "text": text, "source": language, "lang": language, "group": identifier}
                    for each in (writer, every, *([heldout] if number < HELDOUT else [])):
                        each.add(row)
                    taken += len(text.encode())
                    if limit and taken > limit:
                        break


def ours_from_parquet(corpus: Path, tokenizer: Path, out: Path) -> tuple[float, np.ndarray]:
    """CPU seconds of a fresh process, and the ids [tokens] that it wrote."""
    command = [sys.executable, __file__, "--from-parquet", str(corpus), str(tokenizer), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]), np.fromfile(out, dtype=np.uint32)


def theirs_from_parquet(python: Path, corpus: Path, plain: Path, out: Path) -> tuple[float, np.ndarray]:
    """The same of datatrove."""
    command = [
        str(python),
        str(Path(__file__).with_name("encoding_peer.py")),
        str(corpus),
        str(plain),
        DOCUMENT_END,
        str(out),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (written,) = out.glob("*.ds")
    return float(done.stdout.split()[-1]), np.fromfile(written, dtype=np.uint16)


def passes(encode: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds of a first and of a second pass, and what the second gave."""
    started = time.process_time()
    encode()
    between = time.process_time()
    result = encode()
    return between - started, time.process_time() - between, result


def in_memory(texts: list[str], tokenizer: Path) -> tuple[tuple[float, float], tuple[float, float], int]:
    """Seconds (cold, warm) of gigatoken and of `tokenizers`, and the number of tokens; ids must be equal."""
    ours, theirs = BulkEncoder(tokenizer, fast=True), BulkEncoder(tokenizer, fast=False)
    sources = ["all"] * len(texts)
    our_cold, our_warm, (our_ids, our_lengths) = passes(lambda: ours.encode(texts, sources))
    their_cold, their_warm, (their_ids, their_lengths) = passes(lambda: theirs.encode(texts, sources))
    _equal(our_ids, their_ids, "tokenizers")
    _equal(our_lengths, their_lengths, "tokenizers")
    return (our_cold, our_warm), (their_cold, their_warm), len(our_ids)


def _equal(ours: np.ndarray, theirs: np.ndarray, peer: str) -> None:
    if not np.array_equal(ours, theirs):
        raise SystemExit(f"ids differ from those of {peer}: {len(ours)} against {len(theirs)} values")


def measure(language: str, corpus: Path, tokenizer: Path, python: Path, scratch: Path) -> list[dict[str, Any]]:
    """The records of one language, printed as they are made."""
    plain = scratch / "plain.json"
    plain.write_text(plain_text_encoder(tokenizer), encoding="utf-8")
    ours, ids = ours_from_parquet(corpus, tokenizer, scratch / f"{language}.tokens")
    theirs, their_ids = theirs_from_parquet(python, corpus, plain, scratch / f"{language}.peer")
    _equal(ids, their_ids, "datatrove")
    texts = [document["text"] for document in iter_documents(corpus, ["text"])]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{language}: {len(texts):,} documents, {megabytes:.1f} MB, {len(ids) / 1e6:.2f} million tokens, ids identical")
    mine, others, tokens = in_memory(texts, tokenizer)
    rows = [
        ("parquet to ids, cold", "datatrove", len(ids), ours, theirs),
        ("text to ids, cold", "tokenizers", tokens, mine[0], others[0]),
        ("text to ids, warm", "tokenizers", tokens, mine[1], others[1]),
    ]
    return [_record(language, *row) for row in rows]


def _record(language: str, work: str, peer: str, tokens: int, ours: float, theirs: float) -> dict[str, Any]:
    mine, other, ratio = tokens / ours / 1e6, tokens / theirs / 1e6, theirs / ours
    print(f"  {work:<22} ours {mine:6.2f}, {peer} {other:5.3f} million tokens per CPU-second: {ratio:.1f}x")
    record = {"work": work, "language": language, "ours": round(mine, 3), "peer": round(other, 4), "ratio": round(ratio, 1)}
    return record | {"peer_name": peer, "tokens": tokens}


def _input(value: str) -> tuple[str, Path]:
    language, _, path = value.partition("=")
    if not language.isalpha() or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{value!r}: give LANGUAGE=FILE with a file that exists")
    return language, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=_input, action="append", help="LANGUAGE=FILE, repeatable")
    parser.add_argument("--json", type=Path, help="also write the records to this file")
    parser.add_argument("--quick", action="store_true", help="less text and a smaller vocabulary, under a minute")
    parser.add_argument("--peer-env", type=Path, help="where the peer's virtual environment is, or is to be made")
    parser.add_argument("--from-parquet", nargs=3, type=Path, metavar=("CORPUS", "TOKENIZER", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.from_parquet:
        corpus, tokenizer, out = arguments.from_parquet
        end = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"][DOCUMENT_END]
        encoder = fast_encoder(tokenizer)
        started = time.process_time()
        encode_with(encoder, corpus, end, out)
        print(time.process_time() - started)
        return
    if not arguments.input:
        parser.error("--input is needed")
    quick = arguments.quick
    with tempfile.TemporaryDirectory(prefix="encoding-benchmark-") as temporary:
        scratch = Path(temporary)
        python = peer_python(arguments.peer_env or scratch / "peer", PEER_PACKAGES)
        write_corpora(arguments.input, QUICK_BYTES if quick else None, scratch)
        config = TokenizerConfig(
            vocab_size=QUICK_VOCABULARY if quick else VOCABULARY,
            training_megabytes=QUICK_TRAINING_MEGABYTES if quick else TRAINING_MEGABYTES,
        )
        build_tokenizer(scratch / "all", config, scratch / "tokenizer", scratch / "run")
        tokenizer = scratch / "tokenizer"
        records = [r for name, _ in arguments.input for r in measure(name, scratch / name, tokenizer, python, scratch)]
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
