"""A corpus as token ids in one file: Parquet in, ids out, a few thousand documents in memory at a time."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError
from lifecycle.tokens.encode import BulkEncoder, EncoderMismatchError, fast_encoder

logger = logging.getLogger(__name__)

BATCH_DOCUMENTS = 4096


@dataclass(frozen=True)
class EncodedCorpus:
    """All documents as ids (uint32, each with its end) in one file, in reading order."""

    path: Path
    names: list[str]
    sources: np.ndarray
    """Source index of each document, int32 [documents]."""
    lengths: np.ndarray
    """Tokens of each document with its end, int64 [documents]."""
    characters: np.ndarray
    """Of each source, int64 [sources]."""


def encode_corpus(train: Path, tokenizer: Path, end: int, path: Path) -> EncodedCorpus:
    """Encode every document of `train` into the file `path`, with `end` behind each, as the Parquet files are read.

    Where the fast encoder turns out to differ from `tokenizers`, everything is encoded again by `tokenizers` alone.

    Raises:
        DataError: there is no document.
    """
    try:
        return encode_with(fast_encoder(tokenizer), train, end, path)
    except EncoderMismatchError as error:
        logger.warning("%s. Encoding again with tokenizers, which is slower.", error)
        return encode_with(BulkEncoder(tokenizer, fast=False), train, end, path)


def encode_with(encoder: BulkEncoder, train: Path, end: int, path: Path) -> EncodedCorpus:
    """The same with a given encoder; raises EncoderMismatchError as soon as it is found to differ."""
    numbers: dict[str, int] = {}
    sources: list[int] = []
    lengths: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    characters: Counter[int] = Counter()
    announced = time.monotonic()
    with path.open("wb") as file:
        for batch in _batches(iter_documents(train, ["text", "source"])):
            names, texts = [document["source"] for document in batch], [document["text"] for document in batch]
            ids, counts = encoder.encode(texts, names)
            file.write(np.insert(ids, np.cumsum(counts), end).astype(np.uint32).tobytes())
            lengths.append(counts.astype(np.int64) + 1)
            for name, text in zip(names, texts, strict=True):
                sources.append(numbers.setdefault(name, len(numbers)))
                characters[sources[-1]] += len(text)
            if time.monotonic() - announced > 5:
                announced = time.monotonic()
                logger.info("encoded %d documents", len(sources))
    if not sources:
        raise DataError(f"{train}: holds no document; the ledgers of corpus and cleaned_corpora say what was dropped")
    per_source = np.array([characters[index] for index in range(len(numbers))], dtype=np.int64)
    return EncodedCorpus(path, list(numbers), np.array(sources, dtype=np.int32), np.concatenate(lengths), per_source)


def _batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(documents, BATCH_DOCUMENTS)):
        yield batch
