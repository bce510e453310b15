"""A wrong recipe is one clear error that names the field; what is not identity never changes a fingerprint."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lifecycle.errors import RecipeError
from lifecycle.recipe.base import RuntimeField, identity
from lifecycle.recipe.recipe import Recipe, load_recipe
from lifecycle.stages import STAGES, stages_of
from tests.tracking.chain import RECIPE

DEMO = Path(__file__).parents[1] / "deploy" / "recipes" / "demo.yaml"


def _load(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("steps: 1200", "steps: 1200, stpes: 3", "base_model.training.stpes", "no such field; did you mean `steps`?"),
        ("steps: 1200", "steps: 1200, vocab_size: 3", "base_model.training.vocab_size", "it belongs to `tokenizer`"),
        ("steps: 1200", "steps: 1200, architecture: 3", "base_model.training.architecture", "belongs to `base_model`"),
        ("gates:", "quality_sets: [light]\ngates:", "quality_sets", "it belongs to `curation` or `sources.curation`"),
        ("gates:", "curation: {quality_sets: [gofer_quality]}\ngates:", "quality_sets.0", "did you mean `gopher_quality`?"),
        (
            "packages: [numpy]",
            "packages: [numpy], packagse: 1",
            "sources.1.packagse",
            "no such field; did you mean `packages`?",
        ),
        (
            "packages: [numpy]",
            "packages: [numpy], curation: {heldout: {share: 0.1}}",
            "sources.1.curation.heldout",
            "no such field; it belongs to `curation`",
        ),
        (
            "packages: [numpy]",
            "packages: [numpy], curation: {min_language_score: 2}",
            "sources.1.curation.min_language_score",
            "less than or equal to 1",
        ),
        (
            "packages: [numpy]",
            "packages: [numpy], max_epochs: 2",
            "sources.1.max_epochs",
            "`epochs`? Or it belongs to `mix`",
        ),
        ("packages: [numpy]", "packages: [numpy], xyzzy: 1", "sources.1.xyzzy", "fields here: name, language, licence"),
        ("steps: 1200", "steps: many", "base_model.training.steps", "valid integer"),
        ("steps: 1200, ", "", "base_model.training.steps", "Field required"),
        (
            "global_batch: 8, sequence_length: 64",
            "global_batch: 9, sequence_length: 64",
            "base_model.training",
            "global_batch 9",
        ),
        ("sequence_length: 64", "sequence_length: 4096", "(recipe)", "sequence_length 4096 exceeds"),
        ("name: packages, kind", "name: standard_library, kind", "(recipe)", "sources: every name must be unique"),
        ("gates:", "tokenizer: {vocab_size: 70000, dtype: uint16}\ngates:", "tokenizer", "vocab_size 70000"),
        ("kind: python_docs, packages: [numpy]", "kind: website", "sources.1", "website"),
        ("kind: python_docs, packages: [numpy]", "kind: jsonlines", "sources.1", "did you mean `jsonl`?"),
        ("sources: [standard_library]", "sources: [elsewhere]", "(recipe)", "instructions.sources: ['elsewhere']"),
        ("name: small", "name: Small Model", "name", "pattern"),
        ("gates:", "name: twice\ngates:", "YAML", "name is given twice"),
        ("sft:", "sft:\n  balance: {per: task, coba: {}}", "sft", "balance.coba measures held-out conversations"),
        ("sft:", "sft:\n  pretraining: {share: 0.3}", "sft", "is not a whole number; use 0.25 or 0.375"),
        ("sft:", "kto: {}\nsft:", "(recipe)", "kto: learns from answers that were labelled as wanted or not"),
        ("base_model:", "base_model:\n  phases: {}", "base_model.phases", "it belongs to `sft`"),
    ],
)
def test_one_clear_error_names_the_field(tmp_path: Path, old: str, new: str, field: str, says: str) -> None:
    assert old in RECIPE
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, RECIPE.replace(old, new, 1))
    message = str(caught.value)
    assert str(tmp_path / "recipe.yaml") in message
    assert field in message
    assert says in message
    assert "Value error" not in message, "pydantic's own words explain nothing to the author of a recipe"


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    text = RECIPE.replace("steps: 1200", "steps: -1").replace("steps: 300", "steps: x")
    with pytest.raises(RecipeError, match="2 problem") as caught:
        _load(tmp_path, text)
    assert "base_model.training.steps" in str(caught.value)
    assert "sft.training.steps" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "{unclosed: [", "name: \x00"])
def test_what_is_not_a_recipe_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        _load(tmp_path, text)


def test_a_missing_file_and_bytes_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"latin\.yaml"):
        load_recipe(tmp_path / "latin.yaml")


def test_the_shipped_recipe_is_valid() -> None:
    assert load_recipe(DEMO).name == "demo"


def _leaves(section: BaseModel, path: tuple[str, ...] = (), runtime: bool = False) -> list[tuple[tuple[str, ...], bool]]:
    """Paths of all int, float and bool fields reached without lists, and whether each is a runtime field."""
    found = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        marked = runtime or any(isinstance(mark, RuntimeField) for mark in field.metadata)
        if isinstance(value, BaseModel):
            found += _leaves(value, (*path, name), marked)
        elif isinstance(value, int | float):
            found.append(((*path, name), marked))
    return found


def _replaced(section: BaseModel, path: tuple[str, ...], value: object) -> BaseModel:
    name, *rest = path
    new = _replaced(getattr(section, name), tuple(rest), value) if rest else value
    return section.model_copy(update={name: new})


LEAVES = _leaves(load_recipe(DEMO))
DEFAULTS = {200_000, 1_000_000}
"""Large values that the recipe holds already: putting them there again changes nothing."""


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: ".".join(leaf[0]))
@settings(max_examples=5, deadline=None)
@given(value=st.integers(min_value=100_001, max_value=10**9).filter(lambda value: value not in DEFAULTS))
def test_exactly_the_identity_fields_change_the_identity(leaf: tuple[tuple[str, ...], bool], value: int) -> None:
    """Micro-batch, workers and intervals may differ between two machines that must agree on every fingerprint."""
    recipe = load_recipe(DEMO)
    path, runtime = leaf
    changed = _replaced(recipe, path, value)
    assert (identity(changed) == identity(recipe)) == runtime


@pytest.mark.parametrize("leaf", [path for path, runtime in LEAVES if not runtime], ids=".".join)
def test_every_identity_field_decides_at_least_one_stage(leaf: tuple[str, ...]) -> None:
    """A field that no stage's fingerprint contains could be changed without anything being made anew."""
    recipe = load_recipe(DEMO)
    changed = _replaced(recipe, leaf, 101 if leaf == ("rounds",) else 100_001)
    assert isinstance(changed, Recipe)
    source = recipe.sources[0].name
    every = (*STAGES, *stages_of(recipe))
    decided = any(stage.identity(changed, source) != stage.identity(recipe, source) for stage in every)
    assert decided or stages_of(changed) != stages_of(recipe), ".".join(leaf)
