"""Fertility: how many tokens a tokenizer makes of a character and of a word, per source and language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lifecycle.corpora.documents import iter_documents
from lifecycle.curation.words import words
from lifecycle.plots import plot

SAMPLE_CHARACTERS = 1_000_000
"""Held-out text of one source and language that is measured."""
DOCUMENT_CHARACTERS = 16_384
NEW, BASE = "after", "before"


@dataclass
class _Sample:
    texts: list[str] = field(default_factory=list)
    characters: int = 0


def measure_fertility(tokenizers: Mapping[str, Tokenizer], corpus: Path) -> list[dict[str, Any]]:
    """Bytes per token, tokens per character and tokens per word of the held-out documents.

    A word is one of `lifecycle.curation.words`: between blanks in English, of a dictionary in Chinese.

    Args:
        tokenizers: by name; a row for each, source and language.
    """
    samples: dict[tuple[str, str], _Sample] = {}
    for document in iter_documents(corpus / "heldout", ["text", "source", "lang"]):
        sample = samples.setdefault((document["source"], document["lang"] or "unknown"), _Sample())
        if sample.characters < SAMPLE_CHARACTERS:
            sample.texts.append(document["text"][:DOCUMENT_CHARACTERS])
            sample.characters += len(sample.texts[-1])
    return [
        {"source": source, "language": language, "tokenizer": name, **_figures(tokenizer, sample)}
        for (source, language), sample in sorted(samples.items())
        for name, tokenizer in tokenizers.items()
    ]


def _figures(tokenizer: Tokenizer, sample: _Sample) -> dict[str, Any]:
    encodings = tokenizer.encode_batch_fast(sample.texts, add_special_tokens=False)
    tokens = max(1, sum(len(encoding) for encoding in encodings))
    size = sum(len(text.encode("utf-8")) for text in sample.texts)
    return {
        "documents": len(sample.texts),
        "characters": sample.characters,
        "bytes_per_token": round(size / tokens, 4),
        "tokens_per_character": round(tokens / max(1, sample.characters), 4),
        "tokens_per_word": round(tokens / max(1, sum(len(words(text)) for text in sample.texts)), 4),
    }


def draw_fertility(rows: list[dict[str, Any]], run_dir: Path) -> None:
    """Tokens per character as bars, the base tokenizer's beside the new one's where there are two."""
    names = list(dict.fromkeys(row["tokenizer"] for row in rows))
    with plot(run_dir, "fertility", "Tokens per character on held-out text") as axes:
        height = 0.8 / max(1, len(names))
        for number, name in enumerate(names):
            of = [row for row in rows if row["tokenizer"] == name]
            places = [place + height * number for place in range(len(of))]
            axes.barh(places, [row["tokens_per_character"] for row in of], height, label=name)
        of = [row for row in rows if row["tokenizer"] == names[0]] if names else []
        axes.set_yticks(range(len(of)), [f"{row['source']} ({row['language']})" for row in of])
        axes.set_xlabel("tokens per character (fewer is better)")
        if len(names) > 1:
            axes.legend()
