"""What a recipe may say of its own operation, and that it makes no artifact anew."""

from pathlib import Path

import pytest

from lifecycle.errors import RecipeError
from lifecycle.recipe.base import identity
from tests.operation.small import small_recipe


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("{schedules: [{name: a, cron: '0 3 * *'}]}", "has not the five fields"),
        ("{schedules: [{name: a, cron: '0 3 * * *', timezone: Mars/Olympus}]}", "is no time zone"),
        ("{schedules: [{name: a, cron: '0 3 * * *', sources: [news, web]}]}", "a names ['web']; this recipe has"),
        ("{drops: [{name: a, sources: [web]}]}", "operation.drops: a names ['web']"),
        ("{schedules: [{name: a, cron: '0 3 * * *'}], drops: [{name: a, sources: [news]}]}", "every name must be unique"),
        ("{alerts: {disk_warn: 0.9, disk_fail: 0.8}}", "disk_warn 0.9 must be below disk_fail 0.8"),
        ("{alerts: {stale_after_days: 0.0005}}", "stale_after_days"),
        ("{training: {automatic: {}}}", "gpu_hours"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, operation: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        small_recipe(tmp_path, operation)
    assert said in str(caught.value)


def test_a_drop_needs_files(tmp_path: Path) -> None:
    def installed(text: str) -> str:
        return text.replace('kind: text, path: "DIRECTORY/news"', "kind: python_docs, packages: [yaml]")

    with pytest.raises(RecipeError, match=r"\['news'\], which have no path: use a schedule"):
        small_recipe(
            tmp_path,
            "{drops: [{name: a, sources: [news]}]}",
            lambda text: installed(text.replace(str(tmp_path), "DIRECTORY")),
        )


def test_nothing_of_it_counts_for_a_fingerprint(tmp_path: Path) -> None:
    plain = small_recipe(tmp_path, "{}")
    busy = small_recipe(tmp_path, "{schedules: [{name: a, cron: '0 3 * * *'}], training: {}, retention: {}, alerts: {}}")
    assert identity(plain) == identity(busy)
