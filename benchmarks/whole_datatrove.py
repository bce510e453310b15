"""datatrove's whole path over one JSONL file; runs in an environment of its own (see curation.py).

    python whole_datatrove.py INPUT.jsonl LANGUAGE FASTTEXT_MODEL WORK_DIRECTORY

Read, repair (ftfy), language (fastText), the filters, write; then MinHash over what was written, and what it keeps read and
written once more: the steps of the pipelines that its examples ship, with files compressed by zstd as ours are. Each line of
the input is {text, id, kept}: `kept`, what we decided of the document, says whether it is written. Every document goes
through the filters up to the first that drops it; without that, those that were made for English would leave next to no
Chinese for MinHash to work on.

Prints one JSON object: CPU seconds of each part, models and word splitters loaded before, how many documents its own filters
keep, and how many were written at the end.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from fasttext.FastText import _FastText
from loguru import logger

LANGUAGES = {"en": "eng", "zh": "cmn_Hani"}
"""Without the script, "zho" is split at white space."""
FILTERS = (GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter, FineWebQualityFilter)
CONFIG = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
FILE = {"output_filename": "${rank}.jsonl.zst", "compression": "zstd"}
LOADING = "load what splits words 先把分词器装好。"


class Chain(BaseFilter):
    """Its filters one after another, which decide nothing but how many of them see a document."""

    name = "chain"

    def __init__(self, language: str, model: str) -> None:
        super().__init__()
        known = LanguageFilter(languages=list(LANGUAGES))
        known.model._model = _FastText(model)
        self._filters = [known, *(kind(language=LANGUAGES[language]) for kind in FILTERS)]
        self.kept = 0

    def filter(self, doc: Document) -> bool:
        self.kept += all(_passes(each, doc) for each in self._filters)
        return doc.metadata["kept"]

    def load(self) -> None:
        """Word splitters are loaded when they are first used."""
        for each in self._filters:
            _passes(each, Document(text=LOADING, id=""))


def _passes(rule: BaseFilter, document: Document) -> bool:
    try:
        return rule.filter(document) is True
    except ZeroDivisionError:
        return False


def passed(*steps) -> int:
    """Run steps one after another, as datatrove's executors do; how many documents leave the last one."""
    documents = None
    for step in steps:
        documents = step.run(documents, 0, 1)
    return sum(1 for _ in documents)


def main(source: Path, language: str, model: str, work: Path) -> None:
    logger.remove()
    chain, repair = Chain(language, model), FTFYFormatter()
    signer = MinhashDedupSignature(str(work / "signatures"), CONFIG, language=LANGUAGES[language])
    chain.load()
    repair.format(LOADING)
    signer.word_tokenizer.word_tokenize(LOADING)
    seconds, started = {}, time.process_time()

    def done(part: str) -> None:
        nonlocal started
        seconds[part], started = time.process_time() - started, time.process_time()

    reader = JsonlReader(str(source.parent), glob_pattern=source.name)
    passed(reader, repair, chain, JsonlWriter(str(work / "cleaned"), **FILE))
    done("read, repair, language, filters, write")
    signer.run(JsonlReader(str(work / "cleaned")).run(), 0, 1)
    done("read, signatures")
    buckets = MinhashDedupBuckets(str(work / "signatures"), str(work / "buckets"), config=CONFIG)
    for rank in range(CONFIG.num_buckets):
        buckets.run(None, rank, CONFIG.num_buckets)
    MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=CONFIG).run(None, 0, 1)
    done("clusters")
    unique = MinhashDedupFilter(str(work / "remove"))
    left = passed(JsonlReader(str(work / "cleaned")), unique, JsonlWriter(str(work / "corpus"), **FILE))
    done("read, drop, write")
    print(json.dumps({"seconds": seconds, "its_filters_keep": chain.kept, "left": left}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
