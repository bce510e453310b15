"""What the statistics kernel computes, in slow plain Python: `str` methods, regular expressions, dictionaries of strings."""

import itertools
import re
from collections import Counter

from lifecycle.curation.marks import ALPHABETIC, CLASS, CLOSER, COMMON, END, HAN, TERMINAL, WIDE_END, mark_tables
from lifecycle.curation.rewrite import CITATION
from lifecycle.curation.statistics import STOP_WORDS, WIDE_LANGUAGES
from lifecycle.curation.words import words as split_words

MARKS, LOWER = mark_tables()
POLICIES = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
CONTENTS = re.compile(r"第[零〇一二三四五六七八九十百千两0-9０-９]{1,6}[章节回卷部篇集節]|.*(\.\.\.|…) *[0-9]+\Z", re.DOTALL)


def mark(character: str) -> int:
    return int(MARKS[ord(character)]) if ord(character) < MARKS.size else 0


def fold(word: str) -> str:
    return "".join(chr(LOWER[ord(character)]) for character in word)


def sentences(line: str) -> int:
    """A sentence ends at 。！？… and at . ! ? before white space (closing marks may follow); what is left is one more."""
    count = 0
    material = pending = False
    for character in line:
        marks = mark(character)
        if character.isspace():
            count += pending
            material, pending = material and not pending, False
        elif marks & CLASS:
            material, pending = True, False
        elif marks & WIDE_END:
            count += material
            material = pending = False
        elif marks & END:
            pending = material
        elif not marks & CLOSER:
            pending = False
    return count + material


def ends_sentence(line: str) -> bool:
    while line and mark(line[-1]) & CLOSER and not mark(line[-1]) & (END | WIDE_END | TERMINAL):
        line = line[:-1]
    return bool(line) and bool(mark(line[-1]) & (END | WIDE_END | TERMINAL))


def lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def c4(line: str, wide: bool, found: Counter) -> None:
    line = line.strip()
    if wide:
        pieces = [re.split("", word)[1:-1] for word in line.split()]
        longest = 0
        for piece in pieces:
            length = 0
            for character in piece:
                length = 1 if mark(character) & CLASS == 4 else length + 1
                longest = max(longest, length)
        count = len(split_words(line))
    else:
        longest = max(map(len, line.split()), default=0)
        count = len(line.split())
    line = CITATION.sub("", line)
    ending = ends_sentence(line) if wide else line.endswith((".", "?", "!", '"', "'"))
    if longest > 1000 or count < 3 or not ending or line.endswith(("...", "…") if wide else "..."):
        return
    found["lorem_ipsum_lines"] += "lorem ipsum" in lower(line)
    if "javascript" in lower(line):
        found["javascript_lines"] += 1
        return
    found["curly_lines"] += "{" in line
    if any(phrase in lower(line) for phrase in POLICIES):
        found["policy_lines"] += 1
        return
    found["c4_lines"] += 1
    found["c4_sentences"] += sentences(line)


def repeats(items: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    again = [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
    return len(again), sum(map(len, again))


def slow_statistics(text: str, language: str) -> dict[str, int]:
    """Every column for one text."""
    found: Counter = Counter()
    kinds = Counter(mark(character) & CLASS for character in text)
    plain = split_words(text)
    folded = [fold(word) for word in plain]
    found["characters"] = len(text)
    found["symbols"], found["digits"], found["spaces"] = kinds[0], kinds[2], kinds[3]
    found["letters"] = kinds[1] + kinds[4]
    found["han"] = sum(mark(c) & HAN != 0 for c in text)
    found["common_han"] = sum(mark(c) & HAN != 0 and mark(c) & COMMON != 0 for c in text)
    found["words"], found["word_characters"] = len(plain), sum(map(len, plain))
    found["alpha_words"] = sum(any(mark(c) & ALPHABETIC for c in word) for word in plain)
    found["stop_words"] = len(set(STOP_WORDS) & set(folded))
    found["hashes"], found["ellipses"] = text.count("#"), text.count("...") + text.count("…")
    scripts = [2 if mark(c) & HAN else 1 for c in text if mark(c) & HAN or (mark(c) & CLASS == 1 and mark(c) & ALPHABETIC)]
    found["script_switches"] = sum(a != b for a, b in itertools.pairwise(scripts))
    found["segments"] = len("".join(" " if c in "|｜" else c for c in text).split())
    for line in text.splitlines():
        found["lines"] += 1
        bare = line.strip()
        found["bullet_lines"] += bare.startswith(("-", "•"))
        found["ellipsis_lines"] += bare.endswith(("...", "…"))
        found["contents_lines"] += CONTENTS.match(bare) is not None
        found["sentence_lines"] += ends_sentence(bare)
        found["sentences"] += sentences(bare)
        c4(line, language in WIDE_LANGUAGES, found)
    found["newlines"] = text.count("\n")
    lines = [line for line in text.split("\n") if line.strip()]
    found["text_lines"] = len(lines)
    found["terminal_lines"] = sum(mark(line[-1]) & TERMINAL != 0 for line in lines)
    found["short_lines_10"] = sum(len(line) <= 10 for line in lines)
    found["short_lines_30"] = sum(len(line) <= 30 for line in lines)
    runs = re.split("\n+", text)
    found["line_runs"] = len(runs)
    found["repeated_lines"], found["repeated_line_characters"] = repeats(runs)
    found["repeated_text_characters"] = repeats(lines)[1]
    found["repeated_stripped_characters"] = repeats([line.strip() for line in lines])[1]
    paragraphs = re.split("\n{2,}", text.strip())
    found["paragraphs"] = len(paragraphs)
    found["repeated_paragraphs"], found["repeated_paragraph_characters"] = repeats(paragraphs)
    _ngrams(plain, folded, found)
    return dict(found)


def _ngrams(plain: list[str], folded: list[str], found: Counter) -> None:
    for n in (2, 3, 4):
        grams = [tuple(folded[i : i + n]) for i in range(len(folded) - n + 1)]
        if grams:
            best, often = Counter(grams).most_common(1)[0]
            found[f"top_{n}gram"] = len(" ".join(plain[i] for i in range(grams.index(best), grams.index(best) + n))) * often
    for n in range(5, 11):
        seen: set[tuple[str, ...]] = set()
        i = 0
        while i + n <= len(folded):
            gram = tuple(folded[i : i + n])
            if gram in seen:
                found[f"repeated_{n}gram"] += sum(map(len, plain[i : i + n]))
                i += n
            else:
                seen.add(gram)
                i += 1
    pairs = list(itertools.pairwise(folded))
    for pair, often in Counter(pairs).items():
        if often >= 4:
            places = {place for i, each in enumerate(pairs) if each == pair for place in (i, i + 1)}
            found["covered_bigram"] = max(found["covered_bigram"], sum(len(plain[place]) for place in places))
