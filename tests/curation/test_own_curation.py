"""What one source states for itself: it replaces exactly those fields, and changes the fingerprint of no other source."""

from pathlib import Path

import pytest

from lifecycle.errors import RecipeError
from lifecycle.recipe.curation import PiiConfig
from lifecycle.recipe.recipe import Recipe, load_recipe
from lifecycle.stages import CLEANED_CORPORA, CORPUS, PRETRAIN_MEMMAP, RAW_CORPORA
from tests.tracking.chain import RECIPE

SOURCE = "kind: python_docs, packages: [numpy]"
GLOBAL = "curation: {pii: {kinds: [email]}, light: {en: {min_characters: 20, max_digit_share: 0.5}}, boilerplate: {}}\n"


def _recipe(directory: Path, own: str = "", everywhere: str = GLOBAL) -> Recipe:
    path = directory / "recipe.yaml"
    text = RECIPE.replace(SOURCE, f"{SOURCE}{own}", 1).replace("gates:", f"{everywhere}gates:", 1)
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def _own(directory: Path, own: str):
    recipe = _recipe(directory, own)
    return recipe.curation.of(recipe.sources[1])


def test_only_the_stated_fields_are_replaced_at_every_depth(tmp_path: Path) -> None:
    """A source that states one threshold once got the defaults of all the others, not those of `curation`."""
    own = "light: {en: {min_characters: 9}}, languages: [de], boilerplate: {clean_sentences: 2}"
    config = _own(tmp_path, f", curation: {{{own}}}")
    assert (config.light.en.min_characters, config.light.en.max_digit_share) == (9, 0.5)
    assert config.languages == ("de",)
    assert config.pii == PiiConfig(kinds=("email",))
    assert config.boilerplate is not None
    assert (config.boilerplate.clean_sentences, config.boilerplate.max_sentence) == (2, 100)


def test_a_source_switches_on_and_off(tmp_path: Path) -> None:
    config = _own(tmp_path, ", curation: {pii: null, repeated_lines: {min_documents: 4}, html_remnants: true}")
    assert config.pii is None
    assert config.repeated_lines is not None
    assert config.repeated_lines.min_documents == 4
    assert config.html_remnants
    assert _own(tmp_path, "") == _recipe(tmp_path).curation


@pytest.mark.parametrize(
    "field",
    [
        "minhash: {bands: 3}",
        "heldout: {share: 0.1}",
        "against: [x]",
        "workers: 3",
        "overlap: {}",
        "deduplication_scope: within_source",
    ],
)
def test_what_only_the_whole_corpus_reads_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(RecipeError, match=rf"sources\.1\.curation\.{field.split(':')[0]}: .*belongs to `curation`"):
        _recipe(tmp_path, f", curation: {{{field}}}")


def test_a_sources_own_switches_change_its_cleaning_alone(tmp_path: Path) -> None:
    plain, own = _recipe(tmp_path), _recipe(tmp_path, ", curation: {pii: null}")
    first, second = (source.name for source in plain.sources[:2])
    assert CLEANED_CORPORA.identity(plain, second) != CLEANED_CORPORA.identity(own, second)
    assert CLEANED_CORPORA.identity(plain, first) == CLEANED_CORPORA.identity(own, first)
    for stage, source in ((RAW_CORPORA, second), (CORPUS, None), (PRETRAIN_MEMMAP, None)):
        assert stage.identity(plain, source) == stage.identity(own, source), stage.name


def test_what_a_source_replaces_does_not_reach_its_fingerprint(tmp_path: Path) -> None:
    """Another list for the other sources must not clean this one again."""
    one, other = (
        _recipe(tmp_path, ", curation: {pii: null}", f"curation: {{pii: {{kinds: [{kind}]}}}}\n") for kind in ("email", "ip")
    )
    first, second = (source.name for source in one.sources[:2])
    assert CLEANED_CORPORA.identity(one, second) == CLEANED_CORPORA.identity(other, second)
    assert CLEANED_CORPORA.identity(one, first) != CLEANED_CORPORA.identity(other, first)


def test_lists_that_a_source_does_not_use_do_not_reach_its_fingerprint(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    everywhere = f"curation: {{blocklists: [{{category: words, path: {words}}}]}}\n"
    found = []
    for word in ("one", "another"):
        words.write_text(word, encoding="utf-8")
        recipe = _recipe(tmp_path, ", curation: {blocklists: []}", everywhere)
        found.append([CLEANED_CORPORA.identity(recipe, source.name) for source in recipe.sources[:2]])
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]
