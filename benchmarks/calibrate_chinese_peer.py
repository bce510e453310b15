"""The peer's side of `benchmarks/calibrate_chinese.py`: the papers' figures under jieba's words.

    python calibrate_chinese_peer.py TEXTS.jsonl FIGURES.json

Runs in the environment of `curation.py`'s peer. Words are those of datatrove's splitter for Chinese (jieba), repetition is
datatrove's own code. Tokens of punctuation only are left out, as datatrove's length rule does: the papers' words stand
between blanks and have their punctuation on them. datatrove's own repetition rules count them; `shipped_…` are its figures.
"""

import json
import sys

from datatrove.pipeline.filters.gopher_quality_filter import PUNCTUATION_SET
from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_top_duplicate, get_n_grams
from datatrove.utils.text import split_into_words


def figures(text: str) -> dict[str, float]:
    """The figure of every rule that depends on what a word is, by the name of our measure."""
    tokens = split_into_words(text, "cmn_Hani")
    words = [token for token in tokens if any(character not in PUNCTUATION_SET for character in token)]
    many, size = max(len(words), 1), max(len(text), 1)
    found = {
        "words": len(words),
        "mean_word_length": sum(map(len, words)) / many,
        "hash_ratio": text.count("#") / many,
        "ellipsis_ratio": (text.count("...") + text.count("…")) / many,
        "alpha_word_share": sum(any(map(str.isalpha, word)) for word in words) / many,
        "newline_ratio": text.count("\n") / many,
    }
    for prefix, units in (("", words), ("shipped_", tokens)):
        for n in (2, 3, 4):
            grams = get_n_grams(units, n)
            found[f"{prefix}top_{n}gram_share"] = find_top_duplicate(grams) / size if grams else 0.0
        found |= {f"{prefix}repeated_{n}gram_share": find_all_duplicate(units, n) / size for n in range(5, 11)}
    return found


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [figures(json.loads(line)["text"]) for line in file]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({name: [row[name] for row in rows] for name in rows[0]}, file)


if __name__ == "__main__":
    main()
