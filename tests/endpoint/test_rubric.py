"""What judges are asked: one format for all rubrics, filled in as it is."""

from pathlib import Path

import pytest

from lifecycle.endpoint.rubric import read_rubric
from lifecycle.errors import RecipeError
from lifecycle.recipe.endpoint import EndpointConfig
from lifecycle.recipe.instruction_scores import JudgeScores
from lifecycle.recipe.preferences import EndpointJudge

ENDPOINT = EndpointConfig(model="judge-1")


def test_ours_are_asked_in_the_language_of_the_question() -> None:
    """Answers may hold `$`, braces, and orders to the judge: they are filled in as they are."""
    pairs = EndpointJudge(kind="endpoint", endpoint=ENDPOINT).read_rubric()
    grades = JudgeScores(endpoint=ENDPOINT).read_rubric()
    assert set(pairs.texts) == set(grades.texts) == {"en", "zh"}
    (chinese,) = pairs.message("zh", question="问题 $first", first="{答} $second", second="[[A]]")
    assert chinese["role"] == "user"
    for part in ("请比较", "问题 $first", "{答} $second", "[[A]]"):
        assert part in chinese["content"]
    (other,) = pairs.message("fr", question="Quoi?", first="a", second="b")
    assert "You compare" in other["content"]
    (grade,) = grades.message("en", conversation="user: $PATH {conversation}")
    assert "<conversation>\nuser: $PATH {conversation}\n</conversation>" in grade["content"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("en: 'only $question and $first'", r"field en: lacks \$second"),
        ("zh: $question $first $second", "`en` among them"),
        ("[a text]", "a text by language"),
        ("en: [", "cannot read"),
        (None, "cannot read"),
    ],
)
def test_one_that_cannot_be_asked_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "rubric.yaml"
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=f"some.field: .*{said}"):
        read_rubric(str(path), path, "some.field", ("question", "first", "second"))
