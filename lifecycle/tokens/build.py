"""The memmap that pretraining reads."""

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.plots import plot
from lifecycle.recipe.corpora import MixConfig
from lifecycle.tokens.chat import load_tokenizer
from lifecycle.tokens.corpus import BATCH_DOCUMENTS, EncodedCorpus, encode_corpus
from lifecycle.tokens.memmap import MemmapFormat, MemmapWriter
from lifecycle.tokens.mix import Drawn, SourceShare, draw, mix_table
from lifecycle.tokens.shuffle import BucketShuffle
from lifecycle.tokens.tokenizer import read_format, tokenizer_digest

logger = logging.getLogger(__name__)

VALIDATION = "validation"

BUCKET_TOKENS = 100_000_000
"""Tokens per shuffle bucket: some 400 MB of ids."""
MAX_BUCKETS = 256
"""Each bucket keeps two files open."""


def build_pretrain_memmap(
    corpus: Path,
    tokenizer: Path,
    shares: Mapping[str, SourceShare],
    mix: MixConfig,
    seed: int,
    out: Path,
    run_dir: Path,
) -> dict[str, Any]:
    """Encode `corpus/train`, one `<|endoftext|>` after each document, drawn and ordered by `seed`; and `corpus/heldout` in
    its own order, below `validation/`, which training reads where the recipe asks for validation.

    The text is encoded once, to a scratch file of 4 bytes a token; what each source gives is decided from its tokens (see
    `lifecycle.tokens.mix`); then the documents go to their drawn places.

    Raises:
        DataError: there is no text, or a source of the corpus is not in `shares`.
    """
    started = time.monotonic()
    scratch = run_dir / "shuffle"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    token_format = token_format_of(tokenizer)
    encoded = encode_corpus(corpus / "train", tokenizer, token_format.pad_token_id, scratch / "encoded.tokens")
    rng = np.random.default_rng(seed)
    drawn = draw(encoded.names, encoded.sources, encoded.lengths, shares, mix, rng)
    written = np.bincount(encoded.sources, weights=drawn.copies * encoded.lengths, minlength=len(encoded.names))
    buckets = min(MAX_BUCKETS, 1 + int(written.sum()) // BUCKET_TOKENS)
    shuffle = BucketShuffle(scratch, drawn.copies, buckets, np.random.default_rng(int(rng.integers(2**63))))
    with encoded.path.open("rb") as file:
        for lengths in np.array_split(encoded.lengths, 1 + len(encoded.lengths) // BATCH_DOCUMENTS):
            shuffle.add(np.fromfile(file, dtype=np.uint32, count=int(lengths.sum())), lengths)
    with MemmapWriter(out, token_format) as writer:
        for ids, lengths in shuffle.drain():
            writer.append(ids, lengths)
    held_out = _write_validation(corpus / "heldout", tokenizer, token_format, scratch, out / VALIDATION)
    shutil.rmtree(scratch)
    table = _mix_rows(encoded, drawn, written)
    _draw_sources(table, run_dir)
    draw_lengths(np.diff(np.load(out / "documents.npy")), "Tokens per document", run_dir)
    logger.info("wrote %d tokens in %.1f s", written.sum(), time.monotonic() - started)
    return {
        "rows": int(drawn.copies.sum()),
        "tokens": int(written.sum()),
        "validation_tokens": held_out,
        "dtype": token_format.dtype,
        "sources": table,
        "mix": mix_table(table),
    }


def _write_validation(heldout: Path, tokenizer: Path, token_format: MemmapFormat, scratch: Path, out: Path) -> int:
    """Encode held-out documents as they are; returns their tokens."""
    encoded = encode_corpus(heldout, tokenizer, token_format.pad_token_id, scratch / "heldout.tokens")
    with encoded.path.open("rb") as file, MemmapWriter(out, token_format) as writer:
        for lengths in np.array_split(encoded.lengths, 1 + len(encoded.lengths) // BATCH_DOCUMENTS):
            writer.append(np.fromfile(file, dtype=np.uint32, count=int(lengths.sum())), lengths)
    return int(encoded.lengths.sum())


def _mix_rows(encoded: EncodedCorpus, drawn: Drawn, written: np.ndarray) -> list[dict[str, Any]]:
    """What each source holds and gives: `tokens` are as written, epochs are tokens written over tokens held."""
    total = float(written.sum())
    held = np.bincount(encoded.sources, weights=encoded.lengths, minlength=len(encoded.names))
    return [
        {
            "source": name,
            "documents": int((encoded.sources == index).sum()),
            "characters": int(encoded.characters[index]),
            "tokens_held": int(held[index]),
            "epochs": round(float(written[index] / held[index]), 4),
            "documents_written": int(drawn.copies[encoded.sources == index].sum()),
            "tokens": int(written[index]),
            "target_tokens": None if drawn.targets is None else round(float(drawn.targets[index])),
            "share": round(float(written[index]) / total, 4),
        }
        for index, name in enumerate(encoded.names)
    ]


def token_format_of(directory: Path) -> MemmapFormat:
    """What a memmap says of the tokenizer in `directory`."""
    tokenizer: Any = load_tokenizer(directory)
    stored = read_format(directory)
    return MemmapFormat(
        dtype=stored.dtype,
        vocab_size=len(tokenizer),
        tokenizer_digest=tokenizer_digest(directory),
        template=stored.template,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _draw_sources(table: list[dict[str, Any]], run_dir: Path) -> None:
    with plot(run_dir, "tokens_per_source", "Tokens per source, as trained") as axes:
        axes.barh([row["source"] for row in table], [row["tokens"] for row in table])
        axes.set_xlabel("tokens")


def draw_lengths(lengths: np.ndarray, title: str, run_dir: Path) -> None:
    """A histogram of tokens per document, on a logarithmic axis."""
    with plot(run_dir, "lengths", title) as axes:
        axes.hist(lengths, bins=np.geomspace(max(1, lengths.min()), lengths.max() + 1, 40))
        axes.set_xscale("log")
        axes.set_xlabel("tokens")
        axes.set_ylabel("count")
