"""Every phrase list in both directions: what must go from the edges of a text, and what must stay with the same words."""

from pathlib import Path

import pytest
import yaml

from lifecycle.curation.boilerplate import PHRASES, advert_sentences
from lifecycle.recipe.curation import BoilerplateConfig
from tests.curation.test_rules import CHINESE, ENGLISH

CASES = yaml.safe_load(Path(__file__).with_name("phrase_cases.yaml").read_text(encoding="utf-8"))
CONFIG = BoilerplateConfig()
BODY = {"zh": f"{CHINESE}\n" * 3, "en": f"{ENGLISH}\n" * 3}
CLEAN = {"zh": "一是。二是。三是。四是。五是。\n", "en": "One is. Two are. Three are. Four are. Five are.\n"}


def _cases(direction: str) -> list[tuple[str, str]]:
    return [(name[-2:], sentence) for name, case in CASES.items() for sentence in case[direction]]


def test_every_list_has_cases() -> None:
    assert set(CASES) == {path.stem for path in PHRASES.glob("*.txt")}


@pytest.mark.parametrize(("language", "sentence"), _cases("go"))
def test_it_goes_from_both_edges(language: str, sentence: str) -> None:
    body = BODY[language]
    assert advert_sentences(f"{sentence}\n{body}", CONFIG) == body
    assert advert_sentences(f"{body}{sentence}", CONFIG).rstrip("\n") == body.rstrip("\n")


@pytest.mark.parametrize(("language", "sentence"), _cases("go"))
def test_it_stays_where_clean_sentences_stand_around_it(language: str, sentence: str) -> None:
    """`关注公众号` in the middle of an article is what the article is about."""
    text = f"{CLEAN[language]}{sentence}\n{CLEAN[language]}"
    assert advert_sentences(text, CONFIG) == text


@pytest.mark.parametrize(("language", "sentence"), _cases("stay"))
def test_the_same_words_stay_in_a_sentence_that_says_something(language: str, sentence: str) -> None:
    for text in (f"{sentence}\n{BODY[language]}", f"{BODY[language]}{sentence}"):
        assert advert_sentences(text, CONFIG) == text
