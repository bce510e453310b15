"""The optional quality model: learnt from labelled text, calibrated, and one more rule of cleaning."""

import hashlib
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.corpora.read import records
from lifecycle.corpora.records import Damage, Notes
from lifecycle.curation.clean import clean_source
from lifecycle.curation.explain import explain
from lifecycle.curation.model import ModelRule, read_model
from lifecycle.curation.model_features import Features
from lifecycle.curation.model_training import train_quality_model
from lifecycle.curation.quality import KEPT
from lifecycle.curation.sidecar import read_sidecar
from lifecycle.curation.sweep import sweep
from lifecycle.errors import DataError, LifecycleError, RecipeError
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.quality import QualityModelConfig, samples
from lifecycle.stages import CLEANED_CORPORA, QUALITY_MODEL, stages_of
from tests.corpora.reading import source
from tests.curation.cleaning import account_of, write_documents
from tests.shared_data import shared
from tests.tracking.chain import small_recipe

CONFIG = CurationConfig(workers=1)
GOOD = source(kind="python_docs", name="good", packages=["email", "asyncio", "logging", "unittest"])


@cache
def documents(of: Any = GOOD) -> list[str]:
    return [each["text"] for each in records(of, Notes(), 1) if not isinstance(each, Damage) and len(each["text"]) > 100]


def shuffled(text: str) -> str:
    characters = list(text)
    random.Random(text).shuffle(characters)
    return "".join(characters)


def damaged(path: Path, texts: list[str], change: Callable[[str], str], language: str = "en"):
    path.write_text("".join(json.dumps({"text": change(text)}) + "\n" for text in texts), encoding="utf-8")
    return source(kind="jsonl", name="bad", path=str(path), language=language)


def train(directory: Path, good, bad, **fields):
    config = QualityModelConfig(positive=(good,), negative=(bad,), **fields)
    out = directory / "model"
    out.mkdir(parents=True)
    facts = train_quality_model({"good": (good, True), "bad": (bad, False)}, config, 0.3, out, directory / "run")
    return out, facts


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A model that tells documentation from its own shuffled letters."""
    directory = tmp_path_factory.mktemp("quality_model")
    out, facts = train(directory, GOOD, damaged(directory / "bad.jsonl", documents(), shuffled))
    return directory, out, facts


def test_documentation_is_told_from_its_own_letters(trained) -> None:
    """Same letters in another order: no count of characters can see it, their sequence can."""
    directory, _, facts = trained
    assert facts["en_heldout"] > 100
    assert facts["en_auc"] > 0.98
    assert facts["en_bad_dropped"] > 0.9
    assert abs(facts["en_good_kept"] - 0.95) < 0.02
    assert {path.name for path in (directory / "run" / "plots").iterdir()} == {"precision_recall.png", "scores_en.png"}


def test_the_same_samples_give_the_same_bytes(trained, tmp_path: Path) -> None:
    _, out, _ = trained
    again, _ = train(tmp_path, GOOD, damaged(tmp_path / "bad.jsonl", documents(), shuffled))
    assert digests(again) == digests(out)
    assert sorted(digests(out)) == ["model.json", "weights-en.npy"]


def test_what_scores_low_is_dropped_under_the_rule_s_name_and_can_be_swept_and_explained(trained, tmp_path: Path) -> None:
    _, model, _ = trained
    some = documents()[:40]
    raw = write_documents(tmp_path / "raw", [*some, *map(shuffled, some)])
    out = tmp_path / "out"
    out.mkdir()
    facts = clean_source(raw, "sample", CONFIG, out, tmp_path / "run", model=ModelRule(model, {}))
    account = account_of(out)
    assert facts["dropped"]["quality_model"] == account.dropped["quality_model"] > 30
    assert account.read == 80 == account.kept + sum(account.dropped.values())
    table = read_sidecar(out)
    scores, limits = table["quality_score"].to_numpy(), table["quality_limit"].to_numpy()
    kept = np.array(table["decision"].to_pylist()) == KEPT
    assert (scores[kept] >= limits[kept]).all()
    known = ~np.isnan(scores)
    steps = sweep({"sample": out}, "quality_model.min_score", [0, float(limits[known][0]), 1.1], {"sample": CONFIG})
    assert [step.kept for step in steps] == [known.sum(), (scores[known] >= limits[known]).sum(), 0]
    dropped = table["id"][table["decision"].to_pylist().index("quality_model")].as_py()
    told = explain(dropped, {"sample": raw}, {"sample": out}, None, {"sample": CONFIG})
    assert [each.rule for each in told.judgements if each.broken] == ["quality_model"]


def test_the_recipe_s_threshold_stands_before_the_calibrated_one(trained, tmp_path: Path) -> None:
    _, model, _ = trained
    raw = write_documents(tmp_path / "raw", [*documents()[:20], *map(shuffled, documents()[:20])])
    out = tmp_path / "out"
    out.mkdir()
    clean_source(raw, "sample", CONFIG, out, tmp_path / "run", model=ModelRule(model, {"en": 0.0}))
    assert "quality_model" not in account_of(out).dropped


def test_a_language_without_samples_has_no_score(trained) -> None:
    _, model, _ = trained
    judged = ModelRule(model, {"zh": 0.9}).judge(["今天的天气很好，我们决定去公园散步。"], ["zh"])
    assert np.isnan(judged).all()


def test_a_sweep_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    clean_source(write_documents(tmp_path / "raw", documents()[:5]), "sample", CONFIG, out, tmp_path / "run")
    assert "quality_score" not in read_sidecar(out).column_names
    with pytest.raises(LifecycleError, match="cleaned without a quality model"):
        sweep({"sample": out}, "quality_model", [0.5], {"sample": CONFIG})


def test_one_kind_of_samples_is_an_error_that_names_the_language(tmp_path: Path) -> None:
    bad = damaged(
        tmp_path / "bad.jsonl", ["今天的天气很好，我们决定去公园散步。" * 3] * 30, lambda text: text, language="zh"
    )
    with pytest.raises(DataError, match=r"language en has \d+ positive samples .* and 0 negative"):
        train(tmp_path, GOOD, bad)


def test_a_damaged_model_is_an_error(trained, tmp_path: Path) -> None:
    _, model, _ = trained
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "weights-en.npy").write_bytes(b"\x80\x04pickle")
    with pytest.raises(DataError, match="make quality_model again"):
        read_model(tmp_path)


def test_chinese_prose_is_told_from_its_shuffled_characters(tmp_path: Path) -> None:
    path = str(shared("raw/zh/cluecorpussmall_sampled.txt.gz"))
    good = source(kind="text", name="good", path=path, language="zh", document="line")
    _, facts = train(
        tmp_path, good, damaged(tmp_path / "bad.jsonl", documents(good), shuffled, language="zh"), max_documents=1500
    )
    assert facts["zh_auc"] > 0.98, facts


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aB1é中文。 \n\t"), max_size=40))
def test_buckets_are_those_of_every_ngram(text: str) -> None:
    """Against plain Python: one bucket an n-gram, the same for the same n-gram wherever it stands."""
    features = Features(min_ngram=2, max_ngram=3, bucket_bits=20, max_characters=30)
    folded = ""
    for character in text[:30]:
        if character.isspace():
            if folded[-1:].isspace():
                folded = folded[:-1] + ("\n" if "\n" in (character, folded[-1]) else " ")
                continue
            character = "\n" if character == "\n" else " "
        folded += "0" if character.isdigit() else character.lower()
    grams = [folded[i : i + n] for i in range(len(folded)) for n in (2, 3) if i + n <= len(folded)]
    found = features.buckets(text).tolist()
    assert len(found) == len(grams)
    assert len(set(zip(grams, found, strict=True))) == len(set(grams))


def test_the_stage_is_in_the_life_of_recipes_that_ask_for_it(tmp_path: Path) -> None:
    bad = damaged(tmp_path / "bad.jsonl", ["x"], str)
    negative = f"{{kind: jsonl, name: bad, path: {bad.path}, licence: own}}"
    section = f"\nquality_model:\n  positive: [packages]\n  negative: [{negative}]\n"
    plain, asked = small_recipe(tmp_path), small_recipe(tmp_path, lambda text: text + section)
    changed = small_recipe(tmp_path, lambda text: text + section + "  min_score: {en: 0.7}\n")
    assert QUALITY_MODEL not in stages_of(plain)
    names = [stage.name for stage in stages_of(asked)]
    assert names.index("quality_model") < names.index("cleaned_corpora")
    scored = next(stage for stage in stages_of(asked) if stage.name == "cleaned_corpora")
    assert scored.inputs == ("raw_corpora", "quality_model")
    assert "quality_model" not in CLEANED_CORPORA.identity(plain, "packages")
    assert QUALITY_MODEL.identity(changed, None) == QUALITY_MODEL.identity(asked, None)
    assert scored.identity(changed, "packages") != scored.identity(asked, "packages")
    assert asked.quality_model
    assert [good for _, good in samples(asked, asked.quality_model).values()] == [True, False]
    with pytest.raises(RecipeError, match=r"quality_model\.positive: no source named 'nobody'"):
        small_recipe(tmp_path, lambda text: text + section.replace("[packages]", "[nobody]"))
    with pytest.raises(ValidationError, match="named once"):
        QualityModelConfig(positive=("a",), negative=("a",))
