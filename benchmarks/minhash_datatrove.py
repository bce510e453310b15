"""datatrove's MinHash on one JSONL file of {"text"} rows; runs in an environment of its own (see minhash.py).

    python benchmarks/minhash_datatrove.py INPUT.jsonl LANGUAGE WORK_DIRECTORY

Prints one JSON object: CPU seconds of signatures and of buckets with clusters, and the rows it would remove.
"""

import json
import struct
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.utils.typeshelper import Languages
from loguru import logger

LANGUAGES = {"en": Languages.english, "zh": Languages.mandarin_chinese}


def documents(path: Path) -> list[Document]:
    """The rows of the file; their number is their id."""
    with path.open(encoding="utf-8") as file:
        return [Document(text=json.loads(line)["text"], id=str(number)) for number, line in enumerate(file)]


def main() -> None:
    source, language, work = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    logger.remove()
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    signer = MinhashDedupSignature(str(work / "signatures"), config, language=LANGUAGES[language])
    signer.word_tokenizer.word_tokenize("load the word splitter 先把分词器装好")
    texts = documents(source)
    started = time.process_time()
    signer.run(texts, 0, 1)
    signed = time.process_time()
    buckets = MinhashDedupBuckets(str(work / "signatures"), str(work / "buckets"), config=config)
    for rank in range(config.num_buckets):
        buckets.run(None, rank, config.num_buckets)
    MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=config).run(None, 0, 1)
    done = time.process_time()
    removed = [number for path in sorted((work / "remove").glob("*.remove")) for number in _integers(path.read_bytes())]
    print(json.dumps({"signatures": signed - started, "clusters": done - signed, "removed": removed}))


def _integers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)


if __name__ == "__main__":
    main()
