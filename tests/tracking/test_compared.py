"""Which registered versions a recipe's comparisons mean: real versions and aliases in a real registry."""

import shutil

import pytest

from lifecycle.artifacts import Artifact, Store
from lifecycle.errors import LifecycleError
from lifecycle.tracking.compared import versions_to_compare
from lifecycle.tracking.connection import connect
from lifecycle.tracking.runs import record
from tests.tracking.chain import writes


def version(uri: str, store: Store, weights: str) -> Artifact:
    """One more version of `small_dpo`."""
    published = store.materialize("dpo_model", "1", {"weights": weights}, (), writes(weights))
    record(uri, published, asset="small/dpo_model", recipe_name="small", tags={}, store_root=store.root)
    return published.artifact


def labels(uri: str, references: tuple[str, ...], digest: str) -> list[str]:
    return [each.label for each in versions_to_compare(uri, references, "small_dpo", digest)]


def test_aliases_without_a_version_and_the_model_itself_are_left_out(tracking_uri: str, store: Store) -> None:
    """The first run of a recipe has no champion; the run after a promotion has itself as one."""
    assert labels(tracking_uri, ("previous", "champion"), "none") == []
    first, second = (version(tracking_uri, store, weights) for weights in ("one", "two"))
    both = ("previous", "champion")
    assert labels(tracking_uri, both, second.digest) == []
    client = connect(tracking_uri)
    client.set_registered_model_alias("small_dpo", "champion", "1")
    assert labels(tracking_uri, both, second.digest) == ["small_dpo/1"]
    client.set_registered_model_alias("small_dpo", "previous", "1")
    client.set_registered_model_alias("small_dpo", "champion", "2")
    assert labels(tracking_uri, both, second.digest) == ["small_dpo/1"], "the same version, so that nothing is made anew"
    assert labels(tracking_uri, ("small_dpo@champion", "champion", "small_dpo/2"), first.digest) == ["small_dpo/2"]


def test_a_version_that_does_not_exist_or_has_no_files_is_an_error(tracking_uri: str, store: Store) -> None:
    first = version(tracking_uri, store, "one")
    with pytest.raises(LifecycleError, match="small_dpo has no version '7'"):
        labels(tracking_uri, ("small_dpo/7",), "none")
    shutil.rmtree(first.path)
    with pytest.raises(LifecycleError, match=r"small_dpo/1 is registered, but its files are gone.*take small_dpo/1 out"):
        labels(tracking_uri, ("small_dpo/1",), "none")
