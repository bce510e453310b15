"""Tokenizers of others: any Hugging Face folder or `tokenizer.json`, GPT-2's two files, or a SentencePiece model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SpmConverter

from lifecycle.errors import RecipeError
from lifecycle.tokens.base_files import FIELD, GPT2_FILES, base_path

GPT2_END = "<|endoftext|>"


def load_base(given: str) -> PreTrainedTokenizerFast:
    """The tokenizer at `given` as a fast one, with an end token and a padding token (the end token where it has none).

    Raises:
        RecipeError: there is no tokenizer there, it has no pieces, or it names no end token.
    """
    path = base_path(given)
    try:
        fast = _load(path)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise RecipeError(f"{FIELD}: {given!r} cannot be read as a tokenizer: {error}") from error
    except Exception as error:  # `tokenizers` raises bare Exception for a damaged file
        if type(error) is not Exception:
            raise
        raise RecipeError(f"{FIELD}: {given!r} cannot be read as a tokenizer: {error}") from error
    if not set(fast.get_vocab()) - set(fast.get_added_vocab()):
        raise RecipeError(f"{FIELD}: {given!r} holds no pieces; are its vocabulary files missing, or still compressed?")
    if fast.eos_token_id is None:
        raise RecipeError(f"{FIELD}: {given!r} names no eos_token; name it in its tokenizer_config.json")
    if fast.pad_token_id is None:
        fast.pad_token = fast.eos_token
    return fast


def _load(path: Path) -> Any:
    if path.suffix == ".model":
        return _from_sentencepiece(path)
    if path.is_file():
        return PreTrainedTokenizerFast(tokenizer_file=str(path), **_config_beside(path))
    names = {entry.name for entry in path.iterdir()}
    if "tokenizer.json" not in names and {*GPT2_FILES} <= names and "tokenizer_config.json" not in names:
        return _from_gpt2(path)
    return AutoTokenizer.from_pretrained(str(path), local_files_only=True)


def _config_beside(path: Path) -> dict[str, str]:
    """A lone `tokenizer.json` does not say which token ends a text: GPT's and ChatML's and Llama's usual ones are tried."""
    known = Tokenizer.from_file(str(path))
    for end in ("<|im_end|>", "<|eot_id|>", "</s>", GPT2_END):
        if known.token_to_id(end) is not None:
            return {"eos_token": end}
    return {}


def _from_gpt2(path: Path) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE.from_file(*(str(path / name) for name in GPT2_FILES)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=GPT2_END, bos_token=GPT2_END)


def _from_sentencepiece(path: Path) -> PreTrainedTokenizerFast:
    converter = _Converter(path)
    trainer, pieces = converter.proto.trainer_spec, converter.proto.pieces
    named = {
        key: pieces[number].piece
        for key, number in (
            ("unk_token", trainer.unk_id),
            ("bos_token", trainer.bos_id),
            ("eos_token", trainer.eos_id),
            ("pad_token", trainer.pad_id),
        )
        if number >= 0
    }
    return PreTrainedTokenizerFast(tokenizer_object=converter.converted(), **named)


class _Converter(SpmConverter):
    """transformers' converter, reading the file with its own description of it.

    Its constructor takes that of the sentencepiece package, which refuses to work beside an older protobuf.
    """

    def __init__(self, path: Path) -> None:
        from transformers.utils import sentencepiece_model_pb2_new

        proto: Any = sentencepiece_model_pb2_new.ModelProto()  # type: ignore[attr-defined]
        proto.ParseFromString(path.read_bytes())
        self.original_tokenizer: Any = SimpleNamespace(vocab_file=str(path), add_prefix_space=True)
        self.proto = proto
        self.handle_byte_fallback = proto.trainer_spec.byte_fallback
