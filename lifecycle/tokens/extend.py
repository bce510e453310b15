"""New pieces for a tokenizer that a model already knows (continued pretraining in a language that it splits too finely).

Training of byte-pair encoding is taken up where it ended: the text is split by the old tokenizer and the most frequent
pairs are joined, so that every new piece replaces a fixed row of old ones and comes after all old merges (as Cui et al.
2023 do for Chinese-LLaMA with a merged SentencePiece vocabulary).
"""

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lifecycle.errors import CorruptArtifactError, DataError, RecipeError
from lifecycle.recipe.base import Section

EXTENSION_FILE = "extension.json"
SPACE = "▁"
BYTE = re.compile("<0x[0-9A-F]{2}>")
Pair = tuple[int, int]


class Extension(Section):
    """`extension.json` beside an extended tokenizer: what a model of the base tokenizer needs to follow it."""

    base_size: int
    """Entries of the base tokenizer, special tokens included."""
    replaces: tuple[tuple[int, ...], ...]
    """The base ids that each new piece stands for, in the order of the new ids, which begin at `base_size`."""


def extend(fast: PreTrainedTokenizerFast, texts: Iterable[str], count: int) -> tuple[Tokenizer, Extension]:
    """The tokenizer with `count` new pieces learnt from `texts`; ids of the old ones stay.

    Raises:
        RecipeError: it is not byte-pair encoding (Unigram's scores cannot be taken up again).
        DataError: the texts hold too few pairs that occur twice.
    """
    base: Any = fast.backend_tokenizer
    state = json.loads(base.to_str())
    model = state["model"]
    if model["type"] != "BPE":
        raise RecipeError(f"tokenizer.new_pieces: only byte-pair tokenizers can be extended, this one is {model['type']}")
    for token in state["added_tokens"]:  # else `tokenizers` gives them new ids, behind the new pieces
        model["vocab"].setdefault(token["content"], token["id"])
    size = max(model["vocab"].values()) + 1
    words = _words(base, texts)
    replaces: dict[int, tuple[int, ...]] = {number: (number,) for number in model["vocab"].values()}
    if model.get("byte_fallback"):
        for number, character in enumerate(_characters(words, model["vocab"], count // 2), start=size):
            replaces[number] = tuple(model["vocab"][f"<0x{byte:02X}>"] for byte in character.encode())
            model["vocab"][character] = number
    names = {number: piece for piece, number in model["vocab"].items()}
    learner = Tokenizer.from_str(json.dumps(state)).model
    split = [([piece.id for piece in learner.tokenize(word)], frequency) for word, frequency in words.items()]
    missing = count - (max(names) + 1 - size)
    for number, (first, second) in _joined(split, names, model["vocab"], missing):
        replaces[number] = replaces[first] + replaces[second]
        model["vocab"][names[number]] = number
        model["merges"].append([names[first], names[second]])
    learnt = max(names) + 1 - size
    if learnt != count:
        raise DataError(
            f"tokenizer.new_pieces: {count} were asked for, the training text yields only {learnt}; ask for "
            "fewer, or give more text (tokenizer.training_megabytes, sources)"
        )
    rows = tuple(replaces[number] for number in range(size, size + count))
    return Tokenizer.from_str(json.dumps(state)), Extension(base_size=size, replaces=rows)


def read_extension(directory: Path) -> Extension | None:
    """The extension of the tokenizer in `directory`, or None where it is not an extended one."""
    path = directory / EXTENSION_FILE
    if not path.is_file():
        return None
    try:
        return Extension.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptArtifactError(f"{path}: damaged: {error}") from error


def extend_embeddings(model: Any, extension: Extension) -> None:
    """Give a model of the base tokenizer rows for the new pieces, in place: each the mean of those that it replaces.

    Input and output embeddings are both extended. A model may have more rows than its tokenizer has entries (padding to a
    multiple); rows beyond `base_size` are then overwritten before new ones are added.

    Raises:
        DataError: the model has fewer rows than the base tokenizer has entries.
    """
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    if rows < extension.base_size:
        raise DataError(
            f"the model has {rows} embeddings and the tokenizer's base {extension.base_size} entries: it was made for "
            "another tokenizer"
        )
    needed = extension.base_size + len(extension.replaces)
    if rows < needed:
        model.resize_token_embeddings(needed, mean_resizing=False)
    tables = {id(table.weight): table for table in (model.get_input_embeddings(), model.get_output_embeddings()) if table}
    with torch.no_grad():
        for table in tables.values():
            for values in (table.weight, getattr(table, "bias", None)):
                if values is not None:
                    for number, replaced in enumerate(extension.replaces, start=extension.base_size):
                        values[number] = values[list(replaced)].float().mean(0).to(values.dtype)


def _words(base: Any, texts: Iterable[str]) -> Counter[str]:
    """How often each piece of text occurs across whose edges the tokenizer never joins, after its own normalization."""
    words: Counter[str] = Counter()
    for text in texts:
        normal = base.normalizer.normalize_str(text) if base.normalizer else text
        if base.pre_tokenizer:
            words.update(word for word, _ in base.pre_tokenizer.pre_tokenize_str(normal))
        else:
            words.update(word if number == 0 else SPACE + word for number, word in enumerate(normal.split(SPACE)))
    words.pop("", None)
    return words


def _characters(words: Counter[str], vocabulary: dict[str, int], limit: int) -> list[str]:
    """The most frequent characters that have no entry and are written as bytes, at most `limit`, each occurring twice."""
    counts: Counter[str] = Counter()
    for word, frequency in words.items():
        for character in word:
            if character not in vocabulary:
                counts[character] += frequency
    return [
        character for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit] if count > 1
    ]


class _Pairs:
    """Words as one array of ids with -1 between them, and how often each pair of neighbours occurs."""

    def __init__(self, split: list[tuple[list[int], int]]) -> None:
        self._ids = np.array([-1, *(number for ids, _ in split for number in (*ids, -1))], dtype=np.int64)
        self._weights = np.array(
            [0, *(weight for ids, weight in split for weight in (*[weight] * len(ids), 0))], dtype=np.int64
        )
        self.counts: Counter[Pair] = Counter()
        self._count(np.arange(len(self._ids) - 1), 1)

    def _count(self, starts: np.ndarray, sign: int) -> set[Pair]:
        first, second = self._ids[starts], self._ids[starts + 1]
        real = (first >= 0) & (second >= 0)
        keys, inverse = np.unique((first[real] << 32) | second[real], return_inverse=True)
        amounts = np.zeros(len(keys), dtype=np.int64)
        np.add.at(amounts, inverse, self._weights[starts[real]])
        found = [(key >> 32, key & 0xFFFFFFFF) for key in keys.tolist()]
        for pair, amount in zip(found, amounts.tolist(), strict=True):
            self.counts[pair] += sign * amount
        return set(found)

    def join(self, pair: Pair, number: int) -> set[Pair]:
        """Write `number` for `pair` everywhere; the pairs whose counts changed."""
        hits = np.flatnonzero((self._ids[:-1] == pair[0]) & (self._ids[1:] == pair[1]))
        if pair[0] == pair[1]:  # of three in a row the first two are joined
            run = np.flatnonzero(np.diff(hits, prepend=-2) != 1)
            hits = hits[(np.arange(len(hits)) - np.repeat(run, np.diff(run, append=len(hits)))) % 2 == 0]
        changed = self._count(np.unique(np.concatenate([hits - 1, hits, hits + 1])), -1)
        self._ids[hits] = number
        self._ids, self._weights = np.delete(self._ids, hits + 1), np.delete(self._weights, hits + 1)
        joined = hits - np.arange(len(hits))
        return changed | self._count(np.unique(np.concatenate([joined - 1, joined])), 1)


def _joined(
    split: list[tuple[list[int], int]], names: dict[int, str], known: dict[str, int], count: int
) -> Iterator[tuple[int, Pair]]:
    """The next `count` merges with their ids, most frequent pair first, ties by id; `names` grows by each."""
    pairs = _Pairs(split)
    heap = [(-amount, pair) for pair, amount in pairs.counts.items()]
    heapq.heapify(heap)
    number = max(names) + 1
    end = number + count
    while heap and number < end:
        amount, pair = heapq.heappop(heap)
        if -amount != pairs.counts[pair] or amount > -2:
            continue
        name = names[pair[0]] + names[pair[1]]
        if name in known or any(BYTE.fullmatch(names[half]) for half in pair):
            continue
        names[number] = name
        for each in pairs.join(pair, number):
            heapq.heappush(heap, (-pairs.counts[each], each))
        yield number, pair
        number += 1
