"""Stage `cleaned_corpora`."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.curation.clean import clean_source
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CurationConfig
from tests.curation.cleaning import account_of, rows, texts, write_documents
from tests.curation.test_rules import CHINESE, ENGLISH

ONE = CurationConfig(workers=1)
FRENCH = "Cette fonction renvoie le nombre d'éléments que contient la liste, et lève une erreur quand la liste est vide."


def clean(directory: Path, given_texts: list[str], config: CurationConfig = ONE, language: str = "en") -> Path:
    raw = write_documents(directory / "raw", given_texts, language=language)
    out = directory / "out"
    out.mkdir()
    facts = clean_source(raw, "sample", config, out, directory / "run")
    assert facts["rows"] == len(rows(out))
    return out


def test_documents_are_repaired_judged_and_accounted_for(tmp_path: Path) -> None:
    out = clean(tmp_path, [ENGLISH, ENGLISH + " \r\n", "short", FRENCH, CHINESE.replace("，", "，\u200b"), "= " * 60])
    assert texts(out) == [ENGLISH, ENGLISH, CHINESE]
    assert [document["lang"] for document in rows(out)] == ["en", "en", "zh"]
    account = account_of(out)
    assert account.dropped == {"language": 1, "symbols": 1, "too_short": 1}
    assert account.changed["control_characters"] == 2
    assert account.samples["language"][0].before == FRENCH
    assert account.characters_kept == 2 * len(ENGLISH) + len(CHINESE)
    assert sorted(path.name for path in (tmp_path / "run" / "plots").iterdir()) == [
        "dropped_by_rule.svg",
        "lengths.svg",
    ]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([ENGLISH, CHINESE, FRENCH, "short", "1 " * 50, ENGLISH[::-1], " " + ENGLISH]), max_size=30))
def test_read_is_kept_and_dropped(given_texts: list[str]) -> None:
    with TemporaryDirectory() as name:
        out = clean(Path(name), [ENGLISH, *given_texts])
        account = account_of(out)
        kept = texts(out)
    assert account.read == 1 + len(given_texts)
    assert account.kept == len(kept)
    assert sum(account.dropped.values()) == account.read - account.kept


def test_an_allowed_language_is_the_recipes_choice(tmp_path: Path) -> None:
    out = clean(tmp_path, [ENGLISH, FRENCH], CurationConfig(workers=1, languages=("fr",)))
    assert texts(out) == [FRENCH]


def test_a_source_that_loses_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sample.*'too_short': 2"):
        clean(tmp_path, ["short", "短"])


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        out = clean(tmp_path / str(number), [ENGLISH, CHINESE, "short", FRENCH])
        files = sorted(path for path in out.rglob("*") if path.is_file())
        made.append({path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert made[0] == made[1]
    assert sorted(made[0]) == ["documents-00000.parquet", "ledger.json", "statistics/00000.parquet"]
