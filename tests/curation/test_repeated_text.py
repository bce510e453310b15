"""Lines and paragraphs that an earlier document said: unit by unit, on any executor, the same as one document at a time."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.corpora.units import units
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.repeated import SEPARATORS
from lifecycle.curation.split import is_heldout
from lifecycle.curation.windows import folded_words
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, OverlapConfig, RepeatedTextConfig
from tests.curation.cleaning import account_of, rows, write_documents
from tests.curation.test_corpus import HALF, both, build, duplicates
from tests.curation.test_incremental import curate, write_files
from tests.curation.test_minhash import random_text
from tests.tokens.small_corpus import hashes

Texts = dict[str, str]
"""By id of the document, in order."""
NOTICES = [random_text(seed, 8) for seed in range(6)]
EXAM, EXAM_PART = random_text(77, 20), -2
ALWAYS = [random_text(seed, 40) for seed in range(5000, 5008)]
"""So that neither side is ever empty."""


def one_by_one(texts: Texts, config: RepeatedTextConfig) -> Texts:
    """What stays of each text, by reading them in order and remembering what they said."""
    seen: set[str] = set()
    stays = {}
    separator = SEPARATORS[config.unit]
    for identifier, text in texts.items():
        parts = text.split(separator)
        words = [folded_words(part) for part in parts]
        said = [" ".join(some) if len(some) >= config.min_words else None for some in words]
        kept = [part for part, key in zip(parts, said, strict=True) if key not in seen]
        seen |= {key for key in said if key}
        rest = text if len(kept) == len(parts) else separator.join(kept).strip()
        if rest is text or len(folded_words(rest)) >= config.min_words:
            stays[identifier] = rest
    return stays


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@settings(max_examples=8, deadline=None)
@given(made=st.lists(st.lists(st.integers(EXAM_PART, len(NOTICES)), max_size=6), max_size=40), seed=st.integers(0, 99))
def test_what_stays_is_what_one_pass_in_order_leaves(
    unit: Literal["line", "paragraph"], made: list[list[int]], seed: int
) -> None:
    """Notices in any case, refrains, short lines, copies, documents of nothing else, some that quote an evaluation item."""
    config = RepeatedTextConfig(unit=unit, min_words=6)
    chance = random.Random(seed)
    texts = list(ALWAYS)
    for number, notices in enumerate(made):
        parts = [random_text(1000 + number, chance.choice([1, 5, 30]))]
        for each in notices:
            part = EXAM if each == EXAM_PART else NOTICES[each] if 0 <= each < len(NOTICES) else "short line"
            parts.append(part.upper() if chance.random() < 0.3 else part)
        texts.append(SEPARATORS[unit].join(parts))
    with TemporaryDirectory() as name:
        directory = Path(name)
        exam = directory / "exam.jsonl"
        exam.write_text(json.dumps({"text": EXAM}), encoding="utf-8")
        curation = CurationConfig(repeated_text=config, heldout_overlap=None, decontaminate=(str(exam),))
        out = build(directory, {"a": texts}, curation=curation)
        copies = {row["id"] for row in duplicates(out)}
        read = [row for row in rows(directory / "a") if row["id"] not in copies and EXAM not in row["text"].lower()]
        read.sort(key=lambda row: not is_heldout(row["group"], HALF))
        expected = one_by_one({row["id"]: row["text"] for row in read}, config)
        assert {row["id"]: row["text"] for row in both(out)} == expected
        assert account_of(out, "a").dropped.get("only_repeated_text", 0) == len(read) - len(expected)


def test_repeated_lines_stay_in_the_first_document_only(tmp_path: Path) -> None:
    notice = "This site uses cookies, and by reading on you agree to all of our terms of use."
    chinese = "本站所有内容均来自网络，仅供学习交流使用，如有侵权请联系我们删除。"
    texts = [f"{random_text(seed)}\n{notice}\n{chinese}\n- short" for seed in range(20)] + [
        f"{notice.upper()}\n{chinese}\nend"
    ]
    curation = CurationConfig(repeated_text=RepeatedTextConfig(unit="line"), heldout_overlap=None)
    out = build(tmp_path, {"a": texts}, curation=curation)
    kept = [document["text"] for document in both(out)]
    assert sum(notice in text for text in kept) == 1
    assert sum(chinese in text for text in kept) == 1
    assert sum("- short" in text for text in kept) == 20
    account = account_of(out, "a")
    assert account.changed == {"repeated_line": 19}
    assert account.dropped == {"only_repeated_text": 1}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two sources of several units each, with the same notices in both."""
    chance = random.Random(1)
    found = {}
    for name in ("a", "b"):
        texts = ["\n".join([random_text(chance.randrange(10**9), 600), *chance.choices(NOTICES, k=2)]) for _ in range(700)]
        found[name] = write_documents(tmp_path_factory.mktemp(name), texts, source=name)
        assert len(units(found[name])) > 1
    return found


CONFIG = CurationConfig(
    workers=1,
    heldout=HeldoutConfig(share=0.05),
    repeated_text=RepeatedTextConfig(unit="line", min_words=6),
    heldout_overlap=OverlapConfig(words=13, han_characters=30),
)


def test_workers_of_another_executor_leave_the_same(sources: dict[str, Path], tmp_path: Path, ray_here: None) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    found = []
    for home, config in ((here, CONFIG), (there, CONFIG.model_copy(update={"workers": 2, "executor": "ray"}))):
        out = home / "corpus"
        out.mkdir(parents=True)
        build_corpus(sources, config, out, home / "run")
        assert sum(account_of(out, source).changed["repeated_line"] for source in sources) > 1200
        found.append(hashes(out))
    assert found[0] == found[1]


def test_another_file_costs_its_own_units_only(tmp_path: Path) -> None:
    """What earlier units say is known without reading them again; the first to say a line may become another document."""
    files = tmp_path / "files"
    files.mkdir()
    write_files(files, 12)
    for number in (3, 9):
        with (files / f"{number:03}.jsonl").open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"text": f"{random_text(number, 200)}\n{NOTICES[0]}"}))
    first = curate(files, tmp_path / "1", tmp_path / "cache", CONFIG)
    assert first["corpus"]["units_reused"] == 0
    (files / "005x.jsonl").write_text(json.dumps({"text": f"{random_text(99, 200)}\n{NOTICES[0]}"}), encoding="utf-8")
    more = curate(files, tmp_path / "3", tmp_path / "cache", CONFIG)
    assert more["corpus"]["units_reused"] >= more["corpus"]["units"] - 2 > 0
    fresh = curate(files, tmp_path / "4", tmp_path / "another cache", CONFIG)
    assert more["corpus"]["files"] == fresh["corpus"]["files"]
