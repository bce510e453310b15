"""The tokenizer: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) trained on the corpus, or one of others."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lifecycle.corpora.documents import iter_documents
from lifecycle.digests import digest_file, digest_json
from lifecycle.errors import CorruptArtifactError, DataError, RecipeError
from lifecycle.recipe.base import Section
from lifecycle.recipe.training import TokenizerConfig
from lifecycle.tokens.base import load_base
from lifecycle.tokens.chat import check_template
from lifecycle.tokens.extend import EXTENSION_FILE, extend
from lifecycle.tokens.fertility import BASE, NEW, draw_fertility, measure_fertility
from lifecycle.tokens.memmap import Dtype
from lifecycle.tokens.templates import read_template, special_tokens, template_label, uses_bos

logger = logging.getLogger(__name__)

DOCUMENT_END = "<|endoftext|>"
"""Ends each document of the pretraining text; also the padding token."""
TURN_END = "<|im_end|>"
"""Ends each chat message; the tokenizer's eos_token."""
BEGIN = "<s>"
"""The bos_token, of a tokenizer whose chat template writes one."""

# The splits of DeepSeek-V3's tokenizer: digits in groups of at most three, runs of Han and kana apart from everything
# else, then words with a leading blank or one leading ASCII sign (`.join`, `_name`). gigatoken knows this exact
# sequence and encodes it some thirty times faster than `tokenizers`; any other spelling loses that.
SPLITS = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)
CHUNK_CHARACTERS = 16_384
DIGEST_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
FORMAT_FILE = "token_format.json"


class TokenFormat(Section):
    """What the memmaps need beside the ids: `token_format.json` in the tokenizer's directory."""

    dtype: Dtype
    template: str


def build_tokenizer(corpus: Path, config: TokenizerConfig, out: Path, run_dir: Path) -> dict[str, Any]:
    """The recipe's tokenizer as a fast one with its chat template, measured on `corpus/heldout`.

    It is trained on a sample of `corpus/train`, or it is `tokenizer.base`, with `tokenizer.new_pieces` learnt from that
    sample where the recipe asks for them.

    Raises:
        DataError: the text holds too few distinct pieces for as many entries.
        RecipeError: the base or the template cannot be read, or the template cannot be used for training with it.
    """
    before: dict[str, Tokenizer] = {}
    if config.base is None:
        sample = _Sample(corpus / "train", config)
        fast = _trained(sample, config)
    else:
        fast = load_base(config.base)
        sample = _Sample(corpus / "train", config) if config.new_pieces else None
    if sample and config.base is not None:
        before = {BASE: fast.backend_tokenizer}
        tokenizer, extension = extend(fast, sample.chunks(), config.new_pieces)
        fast._tokenizer = tokenizer  # a new object would lose its class and what tokenizer_config.json says
        (out / EXTENSION_FILE).write_text(extension.model_dump_json(), encoding="utf-8")
    size = len(fast)
    fast.chat_template = read_template(config.chat_template)
    check_template(fast, config.chat_template)
    narrowest: Dtype = "uint16" if size <= 65_536 else "uint32"
    if config.dtype == "uint16" and narrowest != "uint16":
        raise RecipeError(f"tokenizer.dtype: uint16 cannot hold the {size} entries of this tokenizer; use uint32 or auto")
    token_format = TokenFormat(
        dtype=narrowest if config.dtype == "auto" else config.dtype, template=template_label(config.chat_template)
    )
    fast.save_pretrained(str(out))
    (out / FORMAT_FILE).write_text(token_format.model_dump_json(), encoding="utf-8")
    fertility = measure_fertility({**before, NEW: fast.backend_tokenizer}, corpus)
    draw_fertility(fertility, run_dir)
    return {
        "rows": size,
        "vocab_size": size,
        "new_pieces": config.new_pieces,
        "training_bytes": sample.bytes if sample else 0,
        "training_chunks": sample.count if sample else 0,
        "template": token_format.template,
        "dtype": token_format.dtype,
        "fertility": fertility,
        "tokenizer_digest": tokenizer_digest(out),
    }


def _trained(sample: "_Sample", config: TokenizerConfig) -> PreTrainedTokenizerFast:
    template = read_template(config.chat_template)
    named = special_tokens(template)
    begin = (BEGIN,) if uses_bos(template) else ()
    tokenizer = _new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(dict.fromkeys((DOCUMENT_END, *named, TURN_END, *begin))),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    logger.info("training a vocabulary of %d entries on about %.1f MB", config.vocab_size, config.training_megabytes)
    tokenizer.train_from_iterator(sample.chunks(), trainer)
    size = tokenizer.get_vocab_size()
    if size != config.vocab_size:
        raise DataError(
            f"tokenizer.vocab_size: {config.vocab_size} entries were asked for, the training text ({sample.bytes:,} bytes) "
            f"yields only {size}; lower tokenizer.vocab_size, or give more text (tokenizer.training_megabytes, sources)"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=DOCUMENT_END,
        extra_special_tokens=list(named),
        **({"bos_token": BEGIN} if begin else {}),
        clean_up_tokenization_spaces=False,
    )


def tokenizer_digest(directory: Path) -> str:
    """A digest of the files that decide ids and template; equal for a tokenizer copied into a model directory.

    Raises:
        CorruptArtifactError: one of these files is missing.
    """
    for name in DIGEST_FILES:
        if not (directory / name).is_file():
            raise CorruptArtifactError(f"{directory / name}: this file of the tokenizer is missing")
    return digest_json({name: digest_file(directory / name) for name in DIGEST_FILES})[:32]


def read_format(directory: Path) -> TokenFormat:
    """The token format in a tokenizer's directory; raises CorruptArtifactError naming the file when it is damaged."""
    path = directory / FORMAT_FILE
    try:
        return TokenFormat.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error


def plain_text_encoder(directory: Path) -> str:
    """The tokenizer's JSON without special tokens: text that spells one (`<|im_end|>`) is encoded as ordinary text."""
    data = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["special"]]
    return json.dumps(data, ensure_ascii=False)


def _new_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    splits: list[Any] = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


class _Sample:
    """Pieces of training text, each taken by a hash of (seed, document, position), so that order plays no part."""

    def __init__(self, directory: Path, config: TokenizerConfig) -> None:
        self._directory = directory
        self._seed = config.seed
        total = _text_bytes(directory)
        if total == 0:
            raise DataError(f"{directory}: holds no text to train a tokenizer on; see the ledger for what was dropped")
        self._threshold = min(1.0, config.training_megabytes * 1e6 / total) * 2.0**64
        self.bytes = 0
        self.count = 0

    def chunks(self) -> Iterator[str]:
        for document in iter_documents(self._directory, ["id", "text"]):
            text = document["text"]
            for start in range(0, len(text), CHUNK_CHARACTERS):
                if self._hash(f"{document['id']}:{start}") < self._threshold:
                    chunk = text[start : start + CHUNK_CHARACTERS]
                    self.bytes += len(chunk.encode("utf-8"))
                    self.count += 1
                    yield chunk

    def _hash(self, key: str) -> int:
        digest = hashlib.blake2b(f"{self._seed}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")


def _text_bytes(directory: Path) -> int:
    """Bytes of the text column before compression, from the Parquet footers alone (a few bytes per row too many)."""
    total = 0
    for path in sorted(directory.glob("documents-*.parquet")):
        metadata = pq.ParquetFile(path).metadata
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                column = metadata.row_group(group).column(index)
                if column.path_in_schema == "text":
                    total += column.total_uncompressed_size
    return total
