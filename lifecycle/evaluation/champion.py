"""The champion of the day beside a new model: its figures, and what speaks against comparing them."""

from collections.abc import Collection

from pydantic import Field

from lifecycle.artifacts import Artifact, Store
from lifecycle.changes import changes
from lifecycle.errors import LifecycleError
from lifecycle.evaluation.contrasts import Contrast, Items, contrast, read_items
from lifecycle.evaluation.figures import is_relative, metrics_of, read_report
from lifecycle.evaluation.results import Metric, read_answers
from lifecycle.recipe.base import Section
from lifecycle.recipe.gates import CHAMPION
from lifecycle.stages import EVAL_REPORT, HELDOUT_TEXT, evaluation_of


class SampleAnswer(Section):
    """A greedy answer with its reference score."""

    answer: str
    score: float


class Champion(Section):
    """A version of the registry that a new model is measured against."""

    label: str
    """`NAME/VERSION`."""
    digest: str
    metrics: dict[str, Metric] = Field(default_factory=dict)
    """Its figures, where they are of the same held-out text and by the same settings."""
    contrasts: tuple[Contrast, ...] = ()
    """The new model against it; empty where they are not to be compared."""
    answers: dict[str, SampleAnswer] = Field(default_factory=dict)
    """What it answered to the questions that the report shows, by question; only those that it was asked too."""
    problem: str | None = None
    """Why they are not to be compared."""


def compare_with_champion(store: Store, report: Artifact, label: str, digest: str, on_record: str | None) -> Champion:
    """The final model of `report` against the registered version `label`.

    Both must have been evaluated by the same settings. Where the held-out text is another one, only what is measured
    item by item is compared, over the items that both answered.

    Args:
        on_record: fingerprint of the `eval_report` that this version was judged by.

    Raises:
        CorruptArtifactError: `report` is missing or damaged; damage of the other one is a `problem`.
    """
    champion = Champion(label=label, digest=digest)
    if on_record is None:
        return champion.model_copy(update={"problem": f"{label} has no evaluation report on record"})
    try:
        found = store.find(EVAL_REPORT.name, on_record)
        if found is None:
            return champion.model_copy(update={"problem": f"the evaluation report {on_record} of {label} is gone"})
        theirs = _Evaluated(store, found.artifact)
    except LifecycleError as error:
        return champion.model_copy(update={"problem": f"the evaluation report of {label} cannot be read: {error}"})
    ours = _Evaluated(store, report)
    before, now = theirs.evaluation.manifest(), ours.evaluation.manifest()
    differences = changes(before.identity, now.identity, "evaluation")
    if before.code_version != now.code_version:
        differences.append(f"this version of the code measures otherwise ({before.code_version} → {now.code_version})")
    if differences:
        return champion.model_copy(update={"problem": f"{label} was evaluated otherwise: {'; '.join(differences)}"})
    same_text = ours.heldout.digest == theirs.heldout.digest
    found = {"contrasts": tuple(_contrasts(ours, theirs, same_text)), "metrics": theirs.metrics if same_text else {}}
    return champion.model_copy(update=found | {"answers": theirs.answers(ours.shown)})


class _Evaluated:
    """The final model of one report, with what it was measured on."""

    def __init__(self, store: Store, report: Artifact) -> None:
        figures = read_report(report.path)
        self.model = str(figures["final"])
        self.metrics = metrics_of(figures, self.model)
        self.shown = {sample["prompt"] for sample in figures["samples"]}
        self.evaluation = store.input_artifact(report, evaluation_of(self.model))
        self.heldout = store.input_artifact(report, HELDOUT_TEXT.name)

    def items(self) -> dict[str, Items]:
        return read_items(self.evaluation.path, self.heldout.path, self.metrics)

    def answers(self, questions: Collection[str]) -> dict[str, SampleAnswer]:
        rows = [row for row in read_answers(self.evaluation.path) if row["prompt"] in questions]
        return {row["prompt"]: SampleAnswer(answer=row["answer"], score=row["score"]) for row in rows}


def _contrasts(ours: _Evaluated, theirs: _Evaluated, same_text: bool) -> list[Contrast]:
    one, other = ours.items(), theirs.items()
    found = []
    for name in (name for name in ours.metrics if name in theirs.metrics and not is_relative(name)):
        pair = (one[name], other[name]) if name in one and name in other else None
        made = contrast(name, ours.model, CHAMPION, ours.metrics[name], theirs.metrics[name], pair)
        if made.items is not None or same_text:
            found.append(made)
    return found
