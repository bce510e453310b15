"""Mojibake: whatever ftfy repairs passes the cheap suspicion test, and hardly any sound text does."""

import gzip
import json

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.mojibake import ENCODINGS, characters_of, mojibake, suspect_lines
from tests.shared_data import shared

PLAIN = "words of which nothing is to be mended " * 4
KINDS = ["in-the-wild", "synthetic", "language-names", "negative", "known-failures"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_that_ftfy_mends_is_mended(kind: str) -> None:
    """The first test knew Latin-1 and Windows-1252 only and kept 29 of 110 cases from ftfy (Cyrillic, Mac, DOS, Baltic)."""
    cases = json.loads(shared(f"raw/multi/ftfy_mojibake_{kind}.json").read_text(encoding="utf-8"))
    for case in cases:
        for text in (case["original"], f"{PLAIN}{case['original']}{PLAIN}", f"{PLAIN} {case['original']} {PLAIN}"):
            assert mojibake(text) == ftfy.fix_encoding(text), case["label"]
        if case["expect"] == "pass":
            assert mojibake(case["original"]) == case.get("fixed-encoding", case["fixed"]), case["label"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_are_read_as_ftfy_reads_them(encoding: str) -> None:
    """Its codecs are not loaded for it: they take 0.03 seconds of every process that cleans."""
    name = encoding.replace("windows-", "sloppy-windows-")
    for byte in range(0x80, 0xF5):
        assert characters_of(encoding, byte, byte + 1) == {bytes([byte]).decode(name)}


@pytest.mark.parametrize("path", ["zh/laws", "zh/oi_wiki", "en/python_peps", "en/rust_rfcs"])
def test_sound_text_hardly_ever_goes_to_ftfy(path: str) -> None:
    with gzip.open(shared(f"raw/{path}.jsonl.gz"), "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    suspects = [text for text in texts if any(suspect_lines(text.encode()))]
    assert len(suspects) <= 0.01 * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "Élève à l’école — « café » “naïve” £5, 20 °C, ½ été…",
        "Привет, мир! «Цитата» — №5, ещё раз.",
        "┌──┬──┐\n│中文│α→β│\n└──┴──┘ √2 ≈ 1.41, ∑x²",
        "《红楼梦》：“第一回”……——是吗？",
        "Ελληνικά: «κείμενο» και ΐ, Ώ.",
        "Čeština, Žluťoučký kůň; Łódź, őrült; Latviešu ģitāra",
    ],
)
def test_sound_text_of_many_scripts_stays(text: str) -> None:
    assert mojibake(text) == text


@given(st.text() | st.lists(st.sampled_from(["Ã©", "Ã ", "naïve", "\n", "\x93", "мії", "─┐", " a ", PLAIN])).map("".join))
def test_each_suspect_line_is_mended_by_itself(text: str) -> None:
    """Lone surrogates too: damaged bytes become such characters, and RE2 takes none."""
    mended = [
        ftfy.fix_encoding(line) if any(suspect_lines(line.encode("utf-8", "surrogatepass"))) else line
        for line in text.split("\n")
    ]
    assert mojibake(text) == "\n".join(mended)
