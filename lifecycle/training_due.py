"""Whether there is enough new text to train the base model again, which job does that, and what it would cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifecycle.artifacts import Artifact, Manifest, Store
from lifecycle.errors import LifecycleError
from lifecycle.files import write_atomically
from lifecycle.plan.costs import training_tokens
from lifecycle.previous import last_artifact
from lifecycle.recipe.base import Section
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import BASE_MODEL, CORPUS, PRETRAIN_MEMMAP
from lifecycle.usage import hours_of

FILE = "training-due.json"
MFU = 0.4
"""Share of the GPU's peak that the preflight expects, as `lifecycle plan --preflight` does."""


class Verdict(Section):
    """New text beside what the last base model was made from. Tokens are those of the sources as they are, epochs apart."""

    memmap: str
    base: str | None
    """Fingerprints of what was compared."""
    seen_tokens: int
    new_tokens: int
    gone_tokens: int
    """Of text that the base model saw and that the corpus no longer holds."""
    threshold: float
    gpu_hours: float | None
    cost_from: str
    """What the cost was estimated from."""

    @property
    def share(self) -> float:
        """New tokens over seen ones; 1 where there is no base model yet."""
        return self.new_tokens / self.seen_tokens if self.seen_tokens else 1.0

    @property
    def due(self) -> bool:
        """Whether that is beyond the threshold."""
        return self.share > self.threshold

    def sentence(self) -> str:
        """The verdict for people."""
        cost = "an unknown number of GPU-hours" if self.gpu_hours is None else f"about {self.gpu_hours:.2f} GPU-hours"
        if self.base is None:
            return f"no base model was trained yet: launch the job `pretrain` ({cost}, {self.cost_from})"
        beside = (
            f"{self.new_tokens:,} tokens are new beside {self.seen_tokens:,} that the last base model saw ({self.share:.1%})"
        )
        if self.due:
            return f"{beside}: launch the job `pretrain` ({cost}, {self.cost_from})"
        return f"{beside}: not beyond {self.threshold:.1%}, nothing to do"


def judge(recipe: Recipe, store: Store) -> Verdict:
    """Compare the memmap as it is with the one that the last base model was trained on, and keep the verdict beside its run.

    Raises:
        LifecycleError: the recipe asks for no such verdict, there is no memmap, or what it was made from is gone.
    """
    policy = recipe.operation.training
    memmap = last_artifact(store, recipe.name, PRETRAIN_MEMMAP.name)
    if policy is None or memmap is None:
        raise LifecycleError("training_due: needs `operation.training` in the recipe and a pretrain_memmap in the store")
    base = last_artifact(store, recipe.name, BASE_MODEL.name)
    trained_on = store.input_artifact(base, PRETRAIN_MEMMAP.name) if base else None
    new = gone = seen = 0
    if trained_on:
        seen = sum(int(row["tokens_held"]) for row in trained_on.manifest().facts["sources"])
        new, gone = _added(store, trained_on, memmap), _added(store, memmap, trained_on)
    hours, cost_from = _cost(recipe, store, base.manifest() if base else None, policy.device)
    verdict = Verdict(
        memmap=memmap.fingerprint,
        base=base.fingerprint if base else None,
        seen_tokens=seen,
        new_tokens=new,
        gone_tokens=gone,
        threshold=policy.threshold,
        gpu_hours=hours,
        cost_from=cost_from,
    )
    write_atomically(_path(store, memmap), verdict.model_dump_json(indent=1))
    return verdict


def read_verdict(recipe: Recipe, store: Store) -> Verdict | None:
    """What `judge` said of the memmap and the base model as they are; None where it has not looked at both."""
    memmap = last_artifact(store, recipe.name, PRETRAIN_MEMMAP.name)
    base = last_artifact(store, recipe.name, BASE_MODEL.name)
    try:
        verdict = Verdict.model_validate_json(_path(store, memmap).read_text(encoding="utf-8")) if memmap else None
    except (OSError, ValidationError):
        return None
    return verdict if verdict and verdict.base == (base.fingerprint if base else None) else None


def _path(store: Store, memmap: Artifact) -> Path:
    return store.run_directory(memmap.fingerprint) / FILE


def _added(store: Store, before: Artifact, after: Artifact) -> int:
    """Tokens of the text of `after` that `before` does not hold: characters times the source's tokens a character."""
    from lifecycle.new_text import new_characters

    if before.digest == after.digest:
        return 0
    corpora = [store.input_artifact(memmap, CORPUS.name).path for memmap in (before, after)]
    rows = {row["source"]: row for row in after.manifest().facts["sources"]}
    found = new_characters(*corpora)
    return round(sum(count * _tokens_a_character(rows[source]) for source, count in found.items()))


def _tokens_a_character(row: Mapping[str, Any]) -> float:
    return row["tokens_held"] / max(1, row["characters"])


def _cost(recipe: Recipe, store: Store, last: Manifest | None, device: str | None) -> tuple[float | None, str]:
    """GPU-hours of a training, and what says so: the last training of the same model, else the preflight's model."""
    training = recipe.base_model.training
    if training is None:
        return None, "base_model.training is null: nothing is trained"
    if last and last.identity.get("architecture") == BASE_MODEL.identity(recipe, None).get("architecture"):
        measured = hours_of(store.root, last.fingerprint)
        before, now = training_tokens(last.identity), training_tokens(BASE_MODEL.identity(recipe, None))
        if measured and before and now:
            return measured * now / before, "measured on the last training"
    from lifecycle.training.needs import needs, own_device

    def made(stage: str) -> Path | None:
        found = last_artifact(store, recipe.name, stage)
        return found.path if found else None

    device = device or own_device()
    hours = needs(recipe, made, device, MFU)[BASE_MODEL.name].gpu_hours
    if hours is None:
        return None, "no training was measured, and no GPU's peak is known: name it in operation.training.device"
    return hours, f"by the preflight's model at {MFU:.0%} MFU of {device}"
