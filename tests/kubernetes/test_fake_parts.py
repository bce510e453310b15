"""The parts of the fake cluster that are functions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.kubernetes.fake.answers import ApiError
from tests.kubernetes.fake.mounts import expand
from tests.kubernetes.fake.patching import json_patch, merge, strategic
from tests.kubernetes.fake.quantities import quantity, read_indexes, write_indexes
from tests.kubernetes.fake.resources import PODS
from tests.kubernetes.fake.selectors import selected

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=3),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_that_of_the_standard(target: Any, patch: Any, result: Any) -> None:
    """The examples of RFC 7386, appendix A."""
    assert merge(target, patch) == result


@given(JSON, JSON)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    """A retried patch does no harm, and neither format changes its input."""
    for how in (merge, strategic):
        once = how(target, patch)
        assert how(once, patch) == once


def test_strategic_patch_joins_lists_by_their_key() -> None:
    """One container of two is changed, one variable of two removed, one added."""
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    pod = {"containers": [{"name": "main", "image": "i:1", "env": env}, {"name": "side", "image": "s:1"}]}
    change = {"name": "main", "image": "i:2", "env": [{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]}
    main = {"name": "main", "image": "i:2", "env": [env[0], {"name": "C", "value": "3"}]}
    assert strategic(pod, {"containers": [change]}) == {"containers": [main, {"name": "side", "image": "s:1"}]}


def test_json_patch_applies_all_or_nothing() -> None:
    """RFC 6902; a test that fails refuses the whole patch."""
    item = {"spec": {"suspend": True, "list": [1, 3]}}
    operations = [
        {"op": "test", "path": "/spec/suspend", "value": True},
        {"op": "replace", "path": "/spec/suspend", "value": False},
        {"op": "add", "path": "/spec/list/1", "value": 2},
        {"op": "remove", "path": "/spec/list/0"},
    ]
    assert json_patch(item, operations) == {"spec": {"suspend": False, "list": [2, 3]}}
    with pytest.raises(ApiError):
        json_patch(item, [{"op": "test", "path": "/spec/suspend", "value": False}])
    with pytest.raises(ApiError):
        json_patch(item, [{"op": "replace", "path": "/spec/nothing", "value": 1}])
    assert item == {"spec": {"suspend": True, "list": [1, 3]}}


@given(some.sets(some.integers(0, 300)))
def test_completed_indexes_are_written_and_read_alike(indexes: set[int]) -> None:
    assert read_indexes(write_indexes(indexes)) == indexes


def test_completed_indexes_as_recorded() -> None:
    """Two neighbours stay two numbers."""
    assert write_indexes({0, 1}) == "0,1"
    assert write_indexes({0, 2, 3, 4, 7, 8}) == "0,2-4,7,8"


@pytest.mark.parametrize("text", ["10GB", "1 Gi", "1GB ", "", "abc", "1.2.3"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity(text)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=a", "12"),
        ("app==a,tier!=x", "2"),
        ("app in (a, b)", "123"),
        ("app notin (a)", "34"),
        ("tier", "13"),
        ("!tier", "24"),
        ("", "1234"),
    ],
)
def test_label_selectors(selector: str, names: str) -> None:
    labels = [{"app": "a", "tier": "x"}, {"app": "a"}, {"app": "b", "tier": "y"}, {}]
    items = [{"metadata": {"name": str(n), "labels": own}} for n, own in enumerate(labels, 1)]
    match = selected(PODS, selector, "")
    assert "".join(item["metadata"]["name"] for item in items if match(item)) == names


def test_unknown_field_selector_is_refused() -> None:
    """Only a few fields of each kind can be selected; a fake that took all would hide it."""
    with pytest.raises(ApiError, match=r"spec\.image"):
        selected(PODS, "", "spec.image=x")


def test_variables_are_expanded_as_kubernetes_does() -> None:
    assert expand("$(A)-$(NOBODY)-$$(A)-$A", {"A": "1"}) == "1-$(NOBODY)-$(A)-$A"
