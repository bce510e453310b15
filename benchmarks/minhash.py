"""MinHash signatures and clusters: ours and datatrove's on the same text.

Both read text from memory, in one process: what is measured is word splitting, hashing, banding and clustering. Both use
5-word shingles and 14 bands of 8 rows; datatrove joins every pair that meets in a band, we only those whose signatures
agree in 0.72 of all places, and we keep the chains apart. The rows that both remove are fewer than either's: of two copies
each may keep the other one.
"""

import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import answer
from lifecycle.curation.banding import Part, SignedTexts, write_part
from lifecycle.curation.minhash import Signatures, signatures
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.recipe.corpora import MinHashConfig

CONFIG = MinHashConfig()
PIECE_CHARACTERS = 4000


def pieces(texts: Iterable[str]) -> list[str]:
    """Long documents in pieces of `PIECE_CHARACTERS`, so that there are enough of them to cluster."""
    return [text[begin : begin + PIECE_CHARACTERS] for text in texts for begin in range(0, len(text), PIECE_CHARACTERS)]


def ours(documents: list[str]) -> dict[str, Any]:
    """CPU seconds of our signatures and clusters; compilation is outside, as cached compilation is in use."""
    removed_of(documents[:2], signatures(documents[:2], CONFIG))
    started = time.process_time()
    signature = signatures(documents, CONFIG)
    signed = time.process_time()
    removed = removed_of(documents, signature)
    return {"signatures": signed - started, "clusters": time.process_time() - signed, "removed": removed}


def removed_of(documents: list[str], signature: Signatures) -> list[int]:
    """Signatures and band keys written to disk and read again, candidates, clusters; longer documents are preferred."""
    lengths = np.array([len(text) for text in documents])
    with tempfile.TemporaryDirectory(prefix="minhash-benchmark-") as work:
        part = Part(Path(work) / "0", 0, len(documents))
        write_part(part, signature, CONFIG, partitions=1)
        texts = SignedTexts((part,), CONFIG, partitions=1)
        found = near_duplicates(
            texts, lambda some: some[np.lexsort((some, -lengths[some]))], len(documents), None, workers=1
        )
    return sorted(found.texts.tolist())


def theirs(python: Path, documents: list[str], language: str) -> dict[str, Any]:
    """The same of datatrove, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="minhash-benchmark-") as temporary:
        source = Path(temporary) / "input.jsonl"
        with source.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents)
        return answer(python, "minhash_datatrove.py", source, language, temporary)


def measure(python: Path, texts: Iterable[str], language: str) -> dict[str, Any]:
    """The record of one language."""
    documents = pieces(texts)
    megabytes = sum(len(text.encode("utf-8")) for text in documents) / 1e6
    us, them = ours(documents), theirs(python, documents, language)
    speeds = [megabytes / max(1e-9, each["signatures"] + each["clusters"]) for each in (us, them)]
    return {
        "work": "MinHash and clusters",
        "language": language,
        "ours": round(speeds[0], 2),
        "peer": round(speeds[1], 3),
        "ratio": round(speeds[0] / speeds[1], 1),
        "megabytes": round(megabytes, 1),
        "documents": len(documents),
        "removed": [len(us["removed"]), len(them["removed"]), len(set(us["removed"]) & set(them["removed"]))],
    }
