"""The memmaps that training reads: pretraining text, and conversations with their loss mask."""

import logging
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import read_conversations
from lifecycle.plots import plot
from lifecycle.tokens.chat import Encoded, encode_conversations, load_tokenizer, mask_preview
from lifecycle.tokens.encode import BulkEncoder, EncoderMismatchError, fast_encoder
from lifecycle.tokens.memmap import MemmapFormat, MemmapWriter
from lifecycle.tokens.shuffle import BucketShuffle, draw_copies
from lifecycle.tokens.tokenizer import read_format, tokenizer_digest

logger = logging.getLogger(__name__)

BATCH_DOCUMENTS = 4096
BUCKET_CHARACTERS = 200_000_000
"""Text per shuffle bucket: some 400 MB of ids at two characters per token."""
MAX_BUCKETS = 256
"""Each bucket keeps two files open."""
PREVIEW_TOKENS = 120


def build_pretrain_memmap(
    corpus: Path, tokenizer: Path, epochs: dict[str, float], seed: int, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Encode `corpus/train`, one `<|endoftext|>` after each document, in an order drawn from `seed`.

    Args:
        epochs: how often the documents of each source are written; 0.5 takes a drawn half of them.

    Raises:
        DataError: there is no text, or a source of the corpus is not in `epochs`.
    """
    started = time.monotonic()
    names, sources, characters = _survey(corpus / "train", epochs)
    rng = np.random.default_rng(seed)
    copies = draw_copies(sources, {index: epochs[name] for index, name in enumerate(names)}, rng)
    if not copies.sum():
        raise DataError(f"sources: epochs {epochs} leave no document of {len(sources)}; raise `epochs` of a source")
    places_seed = int(rng.integers(2**63))
    buckets = min(MAX_BUCKETS, 1 + characters // BUCKET_CHARACTERS)
    token_format = _token_format(tokenizer)
    tokens = np.zeros(len(names), dtype=np.int64)
    for encoder in (fast_encoder(tokenizer), BulkEncoder(tokenizer, fast=False)):
        scratch = run_dir / "shuffle"
        shutil.rmtree(scratch, ignore_errors=True)
        shuffle = BucketShuffle(scratch, copies, buckets, np.random.default_rng(places_seed))
        tokens[:] = 0
        try:
            _scatter(corpus / "train", encoder, token_format.pad_token_id, names, shuffle, copies, tokens)
            break
        except EncoderMismatchError as error:
            logger.warning("%s. Encoding again with tokenizers, which is slower.", error)
    with MemmapWriter(out, token_format) as writer:
        for ids, lengths in shuffle.drain():
            writer.append(ids, lengths)
    shutil.rmtree(scratch)
    table = [
        {
            "source": name,
            "documents": int((sources == index).sum()),
            "epochs": epochs[name],
            "documents_written": int(copies[sources == index].sum()),
            "tokens": int(tokens[index]),
            "share": round(float(tokens[index] / tokens.sum()), 4),
        }
        for index, name in enumerate(names)
    ]
    _draw_sources(table, run_dir)
    _draw_lengths(np.diff(np.load(out / "documents.npy")), "Tokens per document", run_dir)
    logger.info("wrote %d tokens in %.1f s", tokens.sum(), time.monotonic() - started)
    return {"rows": int(copies.sum()), "tokens": int(tokens.sum()), "dtype": token_format.dtype, "sources": table}


def build_sft_memmap(
    instructions: Path, tokenizer: Path, max_tokens: int, seed: int, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Render conversations with the tokenizer's chat template; the loss mask comes from its generation markers.

    Conversations longer than `max_tokens`, and such without a trained token, are left out and counted.

    Raises:
        DataError: no conversation is left.
    """
    conversations = read_conversations(instructions)
    tasks = tuple(sorted({conversation.task for conversation in conversations}))
    numbers = {task: index for index, task in enumerate(tasks)}
    order = np.random.default_rng(seed).permutation(len(conversations)).tolist()
    fast = load_tokenizer(tokenizer)
    counts = {"too_long": 0, "nothing_trained": 0}
    per_task = np.zeros((len(tasks), 3), dtype=np.int64)
    preview: Encoded | None = None
    token_format = _token_format(tokenizer)
    with MemmapWriter(out, token_format, masked=True, tasks=tasks) as writer:
        rendered = encode_conversations(fast, [conversations[index].chat() for index in order])
        for index, encoded in zip(order, rendered, strict=True):
            length, trained = len(encoded.ids), int(encoded.mask.sum())
            if length > max_tokens or not trained:
                counts["too_long" if length > max_tokens else "nothing_trained"] += 1
                continue
            task = numbers[conversations[index].task]
            writer.append(encoded.ids, np.array([length]), encoded.mask, np.array([task]))
            per_task[task] += (1, length, trained)
            if length <= PREVIEW_TOKENS and (preview is None or len(preview.ids) < length):
                preview = encoded
    kept, total, trained = per_task.sum(axis=0).tolist()
    if not kept:
        raise DataError(
            f"instructions.max_tokens: of {len(conversations)} conversations none is left ({counts}); raise "
            "instructions.max_tokens, or use a chat template that marks what is trained"
        )
    _draw_lengths(np.diff(np.load(out / "documents.npy")), "Tokens per conversation", run_dir)
    return {
        "rows": kept,
        "conversations_read": len(conversations),
        "dropped": counts,
        "tokens": total,
        "trained_tokens": trained,
        "tasks": [
            {"task": task, "conversations": int(row[0]), "tokens": int(row[1]), "trained_tokens": int(row[2])}
            for task, row in zip(tasks, per_task, strict=True)
        ],
        "template": token_format.template,
        "mask_preview": mask_preview(fast, preview) if preview else "",
    }


def _survey(train: Path, epochs: dict[str, float]) -> tuple[list[str], np.ndarray, int]:
    """Source names, the source index of each document in reading order, and the characters of all of them."""
    names: dict[str, int] = {}
    sources: list[int] = []
    characters = 0
    for document in iter_documents(train, ["source", "text"]):
        sources.append(names.setdefault(document["source"], len(names)))
        characters += len(document["text"])
    if not sources:
        raise DataError(f"{train}: holds no document; the ledgers of corpus and cleaned_corpora say what was dropped")
    unknown = sorted(set(names) - set(epochs))
    if unknown:
        raise DataError(f"sources: no epochs given for {unknown}, which the corpus holds; is it of another recipe?")
    return list(names), np.array(sources, dtype=np.int32), characters


def _scatter(
    train: Path,
    encoder: BulkEncoder,
    end: int,
    names: list[str],
    shuffle: BucketShuffle,
    copies: np.ndarray,
    tokens: np.ndarray,
) -> None:
    """Encode every document, end it with `end`, hand it to the shuffle; adds up `tokens` [sources] as written."""
    numbers = {name: index for index, name in enumerate(names)}
    done, announced = 0, time.monotonic()
    for batch in _batches(iter_documents(train, ["text", "source"])):
        sources = [document["source"] for document in batch]
        ids, lengths = encoder.encode([document["text"] for document in batch], sources)
        ids = np.insert(ids, np.cumsum(lengths), end)
        lengths = lengths + 1
        written = copies[done : done + len(batch)] * lengths
        np.add.at(tokens, [numbers[source] for source in sources], written)
        shuffle.add(ids, lengths)
        done += len(batch)
        if time.monotonic() - announced > 5:
            announced = time.monotonic()
            logger.info("encoded %d of %d documents, %d tokens", done, len(copies), tokens.sum())


def _batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(documents, BATCH_DOCUMENTS)):
        yield batch


def _token_format(directory: Path) -> MemmapFormat:
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


def _draw_lengths(lengths: np.ndarray, title: str, run_dir: Path) -> None:
    with plot(run_dir, "lengths", title) as axes:
        axes.hist(lengths, bins=np.geomspace(max(1, lengths.min()), lengths.max() + 1, 40))
        axes.set_xscale("log")
        axes.set_xlabel("tokens")
        axes.set_ylabel("count")
