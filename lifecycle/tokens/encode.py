"""Bulk encoding of plain text: gigatoken where it gives the ids of `tokenizers`, else `tokenizers` itself."""

import logging
from collections.abc import Sequence
from pathlib import Path

import awkward
import gigatoken
import numpy as np
from tokenizers import Tokenizer

from lifecycle.tokens.tokenizer import plain_text_encoder

logger = logging.getLogger(__name__)

CHECKED_DOCUMENTS, CHECKED_CHARACTERS = 200, 100_000
"""The first documents of each source that `tokenizers` encodes as well, until one of the two is reached."""


class EncoderMismatchError(Exception):
    """The fast encoder gave other ids than the reference."""


class BulkEncoder:
    """Encodes documents without special tokens; text that spells one stays ordinary text.

    With `fast`, gigatoken encodes, and the first documents of every source, and one of each later batch, are encoded
    by `tokenizers` as well and must agree.
    """

    def __init__(self, tokenizer: Path, *, fast: bool) -> None:
        text = plain_text_encoder(tokenizer)
        self._reference = Tokenizer.from_str(text)
        self._fast = gigatoken.Tokenizer.from_json(text) if fast else None
        self._checked: dict[str, tuple[int, int]] = {}

    def encode(self, texts: Sequence[str], sources: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids uint32 [tokens] of the documents one behind the other, and their lengths int64 [documents].

        Raises:
            EncoderMismatchError: gigatoken and `tokenizers` differ on a checked document.
        """
        if self._fast is None:
            return self._encode_reference(texts)
        encoded = self._fast.encode_batch(list(texts))
        ids = awkward.to_numpy(awkward.flatten(encoded)).astype(np.uint32, copy=False)
        lengths = awkward.to_numpy(awkward.num(encoded)).astype(np.int64, copy=False)
        self._check(texts, sources, ids, lengths)
        return ids, lengths

    def _encode_reference(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        encodings = self._reference.encode_batch_fast(list(texts), add_special_tokens=False)
        lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
        ids = np.fromiter((id for encoding in encodings for id in encoding.ids), dtype=np.uint32, count=int(lengths.sum()))
        return ids, lengths

    def _check(self, texts: Sequence[str], sources: Sequence[str], ids: np.ndarray, lengths: np.ndarray) -> None:
        if len(lengths) != len(texts):
            raise EncoderMismatchError(f"gigatoken returned {len(lengths)} documents for {len(texts)}")
        chosen = []
        for index, source in enumerate(sources):
            documents, characters = self._checked.get(source, (0, 0))
            if documents < CHECKED_DOCUMENTS and characters < CHECKED_CHARACTERS:
                self._checked[source] = (documents + 1, characters + len(texts[index]))
                chosen.append(index)
        if texts and not chosen:
            chosen = [0]
        ends = np.cumsum(lengths)
        for index, encoding in zip(
            chosen, self._reference.encode_batch_fast([texts[i] for i in chosen], add_special_tokens=False), strict=True
        ):
            if not np.array_equal(ids[ends[index] - lengths[index] : ends[index]], encoding.ids):
                raise EncoderMismatchError(
                    f"gigatoken and tokenizers differ on a document of {sources[index]}: {texts[index][:80]!r}"
                )


def fast_encoder(tokenizer: Path) -> BulkEncoder:
    """The gigatoken encoder, or with a warning the reference where gigatoken does not know this tokenizer."""
    try:
        return BulkEncoder(tokenizer, fast=True)
    except (RuntimeError, ValueError) as error:
        logger.warning("gigatoken cannot load this tokenizer (%s); encoding with tokenizers, which is slower", error)
        return BulkEncoder(tokenizer, fast=False)
