"""Real Chinese text by kind, its English counterparts, and damaged text made of it: what thresholds are calibrated on."""

import gzip
import json
import os
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import xxhash

from lifecycle.corpora.read import records
from lifecycle.corpora.records import Damage, Notes
from lifecycle.curation.boilerplate import advert_sentences
from lifecycle.curation.language import language_of
from lifecycle.recipe.curation import BoilerplateConfig
from lifecycle.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PROSE, TECHNICAL, VERSE, WEB = "prose", "technical", "verse", "web"
KINDS = {
    "clue": PROSE,
    "laws": PROSE,
    "long_documents": PROSE,
    "news_zh": PROSE,
    "javaguide": TECHNICAL,
    "d2l": TECHNICAL,
    "oi_wiki": TECHNICAL,
    "pingcap_docs": TECHNICAL,
    "react_docs": TECHNICAL,
    "poetry": VERSE,
    "ccnet_spam": WEB,
}
"""Sources of deploy/recipes/bilingual-sample.yaml. `web` is unsorted: news, adverts and gambling pages."""
PER_SOURCE, PER_DAMAGE, LONGEST = 400, 150, 30_000
"""Documents of a source and of a kind of damage; characters of a document, at most (jieba reads 1 MB a second)."""
NEWS_SENTENCES = 8
"""Sentences of the parallel news that make one document."""
SHORT_CHAPTER = 500
"""Characters up to which a chapter of the parallel book is a table of contents."""

FENCE = re.compile(r"```.*?```", re.DOTALL)
SEGMENT = re.compile("[\u4e00-\u9fff]{2,8}")
MARKS = re.compile(r"[^\w\n]|_")
HEADING = re.compile(r"^#+ +(.{2,30}?)#* *$|^(第[一二三四五六七八九十百]+[章节编] ?.{2,20})$", re.MULTILINE)

Documents = dict[str, list[str]]


def real_text(data: Path) -> Documents:
    """Chinese documents by source, drawn by hash; `data` is the folder that holds raw/.

    So one document more or less in a source, or in Chinese by another rule, changes one document of the sample.
    """
    os.environ["LIFECYCLE_DATA"] = str(data)
    recipe = load_recipe(ROOT / "deploy" / "recipes" / "bilingual-sample.yaml")
    found = {}
    for name in KINDS:
        texts = [each["text"] for each in records(recipe.source(name), Notes(), 1) if not isinstance(each, Damage)]
        if name == "news_zh":
            texts = ["\n".join(texts[at : at + NEWS_SENTENCES]) for at in range(0, len(texts), NEWS_SENTENCES)]
        chinese = [text for text in texts if text.strip() and language_of(text, "zh", 0.3) == "zh"]
        drawn = sorted(chinese, key=lambda text: xxhash.xxh3_128_digest(text.encode()))[:PER_SOURCE]
        found[name] = [text[:LONGEST] for text in drawn]
    return found


def parallel_lines(data: Path) -> list[tuple[str, str]]:
    """Sentences in English and Chinese (news commentary, one a line)."""
    text = (data / "raw/zh/news_commentary_v13_en_zh.txt").read_text(encoding="utf-8")
    pairs = [line.split("\t") for line in text.splitlines() if line.count("\t") == 1]
    return [(english.strip(), chinese.strip()) for english, chinese in pairs if english.strip() and chinese.strip()]


def parallel_documents(data: Path) -> list[tuple[str, str]]:
    """Chapters of a book in its English original and in Chinese."""
    with gzip.open(data / "raw/zh/d2l_zh.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {row["path"]: row["text"] for row in map(json.loads, file)}
    pairs = [(texts.get(path.replace(".md", "_origin.md"), ""), text) for path, text in texts.items()]
    return [(english, chinese) for english, chinese in pairs if english and len(chinese) > SHORT_CHAPTER]


def parallel_headings(data: Path) -> list[tuple[str, str]]:
    """Headings of the same book, of chapters that have the same number of them."""
    pairs: list[tuple[str, str]] = []
    for both in parallel_documents(data):
        english, chinese = (re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE) for text in both)
        if len(english) == len(chinese):
            pairs += zip(english, chinese, strict=True)
    return pairs


def damaged_text(real: Documents) -> Documents:
    """Damaged documents by the kind of damage, made of the real prose and of adverts found in the data."""
    good = [text for name, texts in real.items() if KINDS[name] == PROSE for text in texts if 200 <= len(text) <= 20_000]
    headings = [
        "".join(each)
        for name, texts in real.items()
        if KINDS[name] in (PROSE, TECHNICAL)
        for text in texts
        for each in HEADING.findall(text)
        if re.search("[\u4e00-\u9fff]", "".join(each))
    ]
    adverts = _advert_lines(real)
    makers: dict[str, Callable[[random.Random, str], str]] = {
        "shuffled": _shuffled,
        "menu": lambda chance, _: "\n".join(chance.choices(headings, k=chance.randint(20, 80))),
        "contents": lambda chance, _: _contents(chance, headings),
        "table": _table,
        "utf8_as_gb18030": lambda _, text: text.encode().decode("gb18030", "replace"),
        "gb18030_as_latin1": lambda _, text: text.encode("gb18030", "replace").decode("latin-1"),
        "repeated_paragraph": _repeated,
        "keywords": _keywords,
        "advert_tail": lambda chance, text: "\n".join([text[:300], *chance.choices(adverts, k=chance.randint(8, 20))]),
        "no_punctuation": lambda _, text: MARKS.sub("", text).replace("\n", ""),
        "letters_between": _letters_between,
    }
    found = {}
    for name, make in makers.items():
        chance = random.Random(name)
        found[name] = [make(chance, text) for text in chance.sample(good, min(PER_DAMAGE, len(good)))]
    return found


def _shuffled(chance: random.Random, text: str) -> str:
    """The same characters in any order, line by line as long as before."""
    characters = [c for c in text if c != "\n"]
    chance.shuffle(characters)
    left = iter(characters)
    return "".join(c if c == "\n" else next(left) for c in text)


def _contents(chance: random.Random, headings: Sequence[str]) -> str:
    page, lines = 1, []
    for number in range(chance.randint(15, 60)):
        page += chance.randint(1, 12)
        title = chance.choice(headings)
        lines.append(f"{title} {'.' * chance.randint(6, 30)} {page}" if number % 3 else f"第{number + 1}章 {title}")
    return "\n".join(lines)


def _table(chance: random.Random, text: str) -> str:
    cells, bar = SEGMENT.findall(text), chance.choice(("\t", " | ", "  "))
    return "\n".join(bar.join(cells[at : at + 5]) for at in range(0, len(cells), 5))


def _repeated(chance: random.Random, text: str) -> str:
    """The text, and one stretch of it again and again, as broken page templates give it."""
    start = chance.randrange(max(1, len(text) - 120))
    paragraph = text[start : start + 120].replace("\n", "")
    return "\n".join([text[:600], *[paragraph] * chance.randint(3, 8)])


def _keywords(chance: random.Random, text: str) -> str:
    words = chance.sample(SEGMENT.findall(text), 6)
    return "，".join(chance.choices(words, k=80)) + "。"


def _letters_between(chance: random.Random, text: str) -> str:
    """Letters strewn among the characters, as spam does against filters."""
    return re.sub("([\u4e00-\u9fff]{2})", lambda found: found[1] + chance.choice("abcdevwxyz"), text[:2000])


def _advert_lines(real: Documents) -> list[str]:
    """Lines of the data that are adverts by the project's phrase lists."""
    lines = {
        line.strip() for name in ("javaguide", "ccnet_spam", "clue") for text in real[name] for line in text.splitlines()
    }
    return sorted(line for line in lines if 6 <= len(line) <= 100 and not advert_sentences(line, BoilerplateConfig()))
