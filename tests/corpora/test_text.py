"""Plain text: encodings, units, damage."""

import gzip
from pathlib import Path

import pytest

from lifecycle.corpora.encodings import decode
from lifecycle.errors import DataError
from tests.corpora.reading import read

CHINESE = (
    "人工智能是研究、开发用于模拟人的智能的理论和方法的一门新的技术科学。它企图了解智能的实质，并生产出一种新的机器。\n"
)
TRADITIONAL = (
    "人工智能是研究、開發用於模擬人的智能的理論和方法的一門新的技術科學。它企圖了解智能的實質，並生產出一種新的機器。\n"
)
FRENCH = "Voilà une idée très élégante : où est le château ? À côté de l'école, ça va être génial.\n"
ENGLISH = "It’s a “good” idea — don’t you think so? The café is closed.\n"
RUSSIAN = "Искусственный интеллект — это область информатики, которая занимается разработкой машин.\n"
JAPANESE = "人工知能とは、計算という概念とコンピュータという道具を用いて知能を研究する計算機科学の一分野です。\n"


@pytest.mark.parametrize("repeat", [1, 200])
@pytest.mark.parametrize(
    ("text", "encoding", "language"),
    [
        (CHINESE, "utf-8", "zh"),
        (CHINESE, "utf-8-sig", "zh"),
        (CHINESE, "gb18030", "zh"),
        (CHINESE, "gb2312", "zh"),
        (TRADITIONAL, "big5", "zh"),
        (CHINESE, "utf-16", "zh"),
        (CHINESE, "utf-16-le", "zh"),
        (CHINESE, "utf-16-be", "zh"),
        (CHINESE, "gb18030", "en"),
        (ENGLISH, "utf-16-le", "en"),
        (ENGLISH, "utf-32", "en"),
        (ENGLISH, "cp1252", "en"),
        (FRENCH, "latin-1", "fr"),
        (RUSSIAN, "cp1251", "ru"),
        (JAPANESE, "cp932", "ja"),
        (JAPANESE, "euc_jp", "ja"),
        ("Plain ASCII text.\n", "ascii", "en"),
    ],
)
def test_encodings_are_recognised(text: str, encoding: str, language: str, repeat: int) -> None:
    """French read as Central European gave `élčgante`; GB18030 may come from a source that does not say it is Chinese."""
    decoded = decode((text * repeat).encode(encoding), language)
    assert decoded is not None
    assert decoded[0] == text * repeat


def test_one_broken_byte_does_not_turn_a_utf8_file_into_latin1(tmp_path: Path) -> None:
    """A flipped byte made a detector read the whole Chinese file as Latin-1; only the line that it is in is damage."""
    lines = [f"第{number}行：{CHINESE.strip()}" for number in range(200)]
    data = bytearray("\n".join(lines).encode())
    data[len("\n".join(lines[:7]).encode()) + 40] = 0xFF
    (tmp_path / "book.txt").write_bytes(data)
    documents, account = read(tmp_path, kind="text", path=str(tmp_path / "book.txt"), document="line", language="zh")
    assert [document["text"] for document in documents] == lines[:7] + lines[8:]
    assert account.dropped == {"invalid_bytes": 1}
    assert account.samples["invalid_bytes"][0].id == "book.txt:8"
    assert account.notes["encodings"] == {"utf-8": 1}


def test_units_and_groups(tmp_path: Path) -> None:
    """A line is a group by itself; paragraphs of one file share groups, so that neighbours are not split up."""
    text = "\n\n".join(f"Paragraph {number}\nof two lines." for number in range(120))
    (tmp_path / "a.txt").write_text(text + "\n")
    path = str(tmp_path / "a.txt")
    whole, _ = read(tmp_path / "1", kind="text", path=path)
    lines, _ = read(tmp_path / "2", kind="text", path=path, document="line")
    paragraphs, _ = read(tmp_path / "3", kind="text", path=path, document="paragraph")
    assert [document["text"] for document in whole] == [text + "\n"]
    assert len(lines) == 240
    assert all(document["group"] == document["id"] for document in lines)
    assert [document["text"].strip() for document in paragraphs] == text.split("\n\n")
    assert len({document["group"] for document in paragraphs}) == 3
    assert len({document["id"] for document in whole + lines + paragraphs}) == 361


def test_damaged_files_are_counted_and_fail_past_the_tolerance(tmp_path: Path) -> None:
    """A broken gzip stream raises zlib.error, which is no OSError, and once ended the stage with a traceback."""
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(ENGLISH)
    packed = bytearray(gzip.compress("".join(f"{number} {hash(number * 7)}" for number in range(9000)).encode()))
    packed[2000:2100] = bytes(100)
    (tmp_path / "broken.txt.gz").write_bytes(packed)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    pattern = str(tmp_path / "*.txt*")
    documents, account = read(tmp_path / "ok", kind="text", path=pattern, tolerance=0.5)
    assert len(documents) == 8
    assert account.dropped == {"empty_file": 1, "undecodable_file": 1, "unreadable_file": 1}
    with pytest.raises(DataError, match=r"3 of 11 records are damaged.*(binary|broken|empty)\.txt"):
        read(tmp_path / "strict", kind="text", path=pattern, tolerance=0.1)


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="sample"):
        read(tmp_path, kind="text", path=str(tmp_path / "empty.txt"), tolerance=1.0)


@pytest.mark.parametrize(
    "word", ["\u2019tis", "\u201cquoted\u201d", "caf\u00e9s", "a\u2014b", "\u00a9 1945", "\u00bd\u00a2 a pound"]
)
def test_a_few_western_characters_are_not_chinese(tmp_path: Path, word: str) -> None:
    """Speeches with one typographic quotation mark were read as Big5 and Shift_JIS, and letters vanished."""
    (tmp_path / "a.txt").write_bytes(
        ("My fellow citizens, the state of the union is sound. " * 20 + word + " it is.").encode("cp1252")
    )
    documents, account = read(tmp_path, kind="text", path=str(tmp_path / "a.txt"))
    assert word in documents[0]["text"]
    assert set(account.notes["encodings"]) == {"cp1252"}
