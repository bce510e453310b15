"""The peer's side of `benchmarks/rules.py`; runs in an environment of its own that has datatrove, not this project.

    python rules_datatrove.py DOCUMENTS.jsonl RESULT.json

Each line of the input is {text, lang, words, sentences}. The result has CPU seconds of datatrove's chain with its own word
splitters, and the reason for which each filter drops each document, with its own units of text and with the given ones.
"""

import json
import sys
import time

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)

SETS = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4_quality": C4QualityFilter,
    "fineweb_quality": FineWebQualityFilter,
}
# Without the script, "zho" is split at white space.
LANGUAGES = {"en": "eng", "zh": "cmn_Hani"}


def reason(filter, text: str) -> str | None:
    """Why a filter drops a text; None when it passes."""
    try:
        result = filter.filter(Document(text=text, id="0"))
    except ZeroDivisionError:
        return "error_nothing_to_divide_by"
    return None if result is True else result[1] if isinstance(result, tuple) else "dropped"


def chain_seconds(filters, rows) -> float:
    """CPU seconds of the whole chain; a document that one filter drops is not shown to the next, as datatrove runs it."""
    started = time.process_time()
    for row in rows:
        document = Document(text=row["text"], id="0")
        for filter in filters:
            try:
                if filter.filter(document) is not True:
                    break
            except ZeroDivisionError:
                break
    return time.process_time() - started


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    language = LANGUAGES[rows[0]["lang"]]
    filters = {name: kind(language=language) for name, kind in SETS.items()}
    chain_seconds(filters.values(), rows[:2])  # loads spaCy and jieba
    seconds = chain_seconds(filters.values(), rows)
    own = [{name: reason(filter, row["text"]) for name, filter in filters.items()} for row in rows]
    given = []
    for row in rows:
        for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
            module.split_into_words = lambda text, language, row=row: row["words"]
        c4_filters.split_into_sentences = lambda line, language, row=row: [line] * row["sentences"].get(line.strip(), 0)
        given.append({name: reason(filter, row["text"]) for name, filter in filters.items()})
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"seconds": seconds, "own": own, "given": given}, file)


if __name__ == "__main__":
    main()
