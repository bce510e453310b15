"""Walks the life of a recipe without making anything: what would be reused, what would run, what cannot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from lifecycle.artifacts import Artifact, InputReference, Manifest, Store, fingerprint_of
from lifecycle.corpora.snapshot import snapshot as snapshot_of
from lifecycle.errors import CorruptArtifactError, DataError, LifecycleError, RecipeError
from lifecycle.evaluation.gates import decide_gates
from lifecycle.identities import InRound
from lifecycle.plan.costs import measured
from lifecycle.plan.lines import PlanLine, label
from lifecycle.plan.reasons import changed_inputs, input_differences, own_differences
from lifecycle.previous import previous_manifest
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.corpora import FilesRead, SourceBase
from lifecycle.recipe.quality import samples
from lifecycle.recipe.recipe import Recipe
from lifecycle.recipe.record_files import RecordFiles
from lifecycle.references import SNAPSHOT, input_references
from lifecycle.stages import (
    BASE_EVAL,
    BASE_MODEL,
    CHAMPION,
    COMPARISONS,
    CORPUS,
    EVAL_REPORT,
    INSTRUCTION_EMBEDDINGS,
    INSTRUCTION_SCORES,
    PREFERENCE_PAIRS,
    QUALITY_MODEL,
    RAW_CORPORA,
    RAW_INSTRUCTIONS,
    RAW_PREFERENCES,
    REGISTERED_EVAL,
    START,
    Stage,
    rounds_of,
    stages_of,
)

RawBytes = SourceBase | RecordFiles | FilesRead | StartingModel
Known = dict[tuple[str, str | None], Artifact]


def plan(
    recipe: Recipe, store: Store, snapshot: Callable[[RawBytes], str] | None = None, select: Sequence[str] = ()
) -> list[PlanLine]:
    """What would become of each stage, in the order of the life, and last of the champion; nothing is made.

    Args:
        snapshot: digest of the raw bytes of a source; by default the reader's own, which hashes the files.
        select: names of stages; then only these and what they are made from.

    Raises:
        RecipeError: `select` names a stage that the recipe does not have.
    """
    kept = store.results if store.root.exists() else None
    walk = _Walk(recipe, store, snapshot or (lambda source: snapshot_of(source, kept).digest))
    wanted = needed(recipe, select)
    for stage in stages_of(recipe):
        for source in [source.name for source in recipe.sources] if stage.per_source else [None]:
            if stage.name in wanted:
                walk.visit(stage, source)
    return [*walk.lines, *([walk.champion()] if CHAMPION in wanted else [])]


def needed(recipe: Recipe, select: Sequence[str]) -> set[str]:
    """The stages of these names and, at any distance, what they are made from; all of them where none is named."""
    inputs = {stage.name: stage.inputs for stage in stages_of(recipe)}
    inputs[CHAMPION] = (EVAL_REPORT.name, rounds_of(recipe)[-1].model.name)
    unknown = sorted(set(select) - set(inputs))
    if unknown:
        raise RecipeError(f"{recipe.name} has no asset {', '.join(unknown)}; it has: {', '.join(inputs)}")
    needed, waiting = set(), list(select or inputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += inputs[name]
    return needed


class _Walk:
    """One walk down the life; `known` are the artifacts that will be reused."""

    def __init__(self, recipe: Recipe, store: Store, snapshot: Callable[[RawBytes], str]) -> None:
        self.recipe, self.store, self.snapshot = recipe, store, snapshot
        self.known: Known = {}
        self.lines: list[PlanLine] = []

    def visit(self, stage: Stage, source: str | None) -> None:
        """Add the line of a stage whose inputs have theirs already."""
        identity = stage.identity(self.recipe, source)
        previous = previous_manifest(self.store, self.recipe.name, stage, source)
        line = self._line(stage, source, identity, previous)
        if line.action in ("run", "maybe"):
            line = line.model_copy(update={"cost": measured(previous, identity)})
        self.lines.append(line)
        if line.action == "reuse" and line.fingerprint and line.digest:
            uri = str(self.store.directory(stage.name, line.fingerprint))
            artifact = Artifact(stage=stage.name, fingerprint=line.fingerprint, digest=line.digest, uri=uri)
            self.known[stage.name, source] = artifact

    def champion(self) -> PlanLine:
        """The champion makes no artifact: it is decided in every run, on the report and the recipe's gates as they are."""
        decide = partial(PlanLine, stage=CHAMPION, source=None, action="decide")
        report, model = (self.known.get((name, None)) for name in (EVAL_REPORT.name, rounds_of(self.recipe)[-1].model.name))
        if report is None or model is None:
            needs = ", ".join(
                f"{gate.model} {gate.metric} {gate.condition()}" for gate in self.recipe.gates if gate.blocking
            )
            return decide(
                why=f"on the report that will be made; needs: {needs or 'nothing, the recipe has no blocking gate'}"
            )
        against = [gate for gate in self.recipe.gates if gate.compared_to == CHAMPION]
        try:
            results = decide_gates(report.path, [gate for gate in self.recipe.gates if gate not in against])
        except LifecycleError as error:
            return decide(why=f"will fail: {error}")
        failed = [result.said for result in results if result.failed]
        if failed:
            return decide(why=f"will be refused: {'; '.join(failed)}")
        if against:
            return decide(why=f"all blocking gates hold; decided then against the champion: {len(against)}")
        return decide(why=f"all blocking gates hold: model {model.digest[:8]} is the champion afterwards")

    def _line(self, stage: Stage, source: str | None, identity: object, previous: Manifest | None) -> PlanLine:
        line = partial(PlanLine, stage=stage.name, source=source)
        inputs, unknown = self._inputs(stage, source)
        stuck = {before.name for before in self.lines if before.action == "blocked"}
        if waits := [name for name in unknown if name in stuck]:
            return line(action="blocked", why=f"waits for {', '.join(waits)}")
        try:
            raw = {name: self.snapshot(item) for name, item in raw_bytes(self.recipe, stage, source).items()}
        except DataError as error:
            return line(action="blocked", why=str(error))
        if unknown:
            own = [*own_differences(previous, stage, identity), *changed_inputs(previous, inputs)] if previous else []
            if previous and not own and self._may_repeat(previous, unknown):
                gives = "gives" if len(unknown) == 1 else "give"
                return line(action="maybe", why=f"reused if {', '.join(unknown)} {gives} the same bytes as before")
            reasons = [*own, f"input{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} will be made anew"]
            return line(action="run", why="; ".join(reasons))
        references = (*input_references(stage, inputs, raw), *_as_registered(previous))
        digests = {item.name: item.digest for item in references}
        fingerprint = fingerprint_of(stage.name, stage.code_version, identity, digests)
        line = partial(line, fingerprint=fingerprint)
        try:
            found = self.store.find(stage.name, fingerprint)
        except CorruptArtifactError as error:
            return line(action="run", why=f"damaged, will be set aside: {error}")
        if found:
            return line(action="reuse", why=f"made {found.manifest.created_at}", digest=found.artifact.digest)
        if previous is None:
            return line(action="run", why="never made before")
        reasons = [*own_differences(previous, stage, identity), *input_differences(previous.inputs, references)]
        return line(action="run", why="; ".join(reasons) or f"the artifact of {previous.created_at} is gone")

    def _may_repeat(self, previous: Manifest, unknown: list[str]) -> bool:
        """Whether all of these inputs, which will be made anew, may have the bytes that `previous` was made from."""
        before = {item.name: item.fingerprint for item in previous.inputs}
        with_a_model = {stage.name for stage in stages_of(self.recipe) if stage.with_a_model}
        for line in self.lines:
            if line.name not in unknown:
                continue
            own = before.get(line.name, before.get(line.stage))  # a stage per source calls its one input by the stage's name
            if own is None or (line.action == "run" and line.stage in with_a_model and line.fingerprint != own):
                return False
        return True

    def _inputs(self, stage: Stage, source: str | None) -> tuple[dict[str, Artifact | Mapping[str, Artifact]], list[str]]:
        """The stage's inputs as far as they exist, and the names of those that do not."""
        per_source = {upstream.name for upstream in stages_of(self.recipe) if upstream.per_source}
        inputs: dict[str, Artifact | Mapping[str, Artifact]] = {}
        unknown: list[str] = []
        for name in stage.inputs:
            gathers = name in per_source and not stage.per_source
            wanted = [each.name for each in self.recipe.sources] if gathers else [source if name in per_source else None]
            found = {each: self.known[name, each] for each in wanted if (name, each) in self.known}
            unknown += [label(name, each) for each in wanted if each not in found]
            if gathers:
                inputs[name] = {str(each): artifact for each, artifact in found.items()}
            elif found:
                inputs[name] = found[wanted[0]]
        return inputs, unknown


def _as_registered(previous: Manifest | None) -> tuple[InputReference, ...]:
    """The registered versions that comparisons were made with: what the registry names now is known only in a run."""
    given = previous.inputs if previous else ()
    return tuple(item for item in given if item.name.startswith(f"{REGISTERED_EVAL}/"))


def raw_bytes(recipe: Recipe, stage: Stage, source: str | None) -> dict[str, RawBytes]:
    """Raw bytes that the stage reads itself, under the names of `input_references`."""
    if isinstance(stage.identity, InRound):
        recipe, stage = recipe.in_round(stage.identity.number), replace(stage, identity=stage.identity.like)
    if stage is RAW_CORPORA and source is not None:
        return {SNAPSHOT: recipe.source(source)}
    if stage is QUALITY_MODEL and recipe.quality_model:
        return {name: source for name, (source, _) in samples(recipe, recipe.quality_model).items()}
    if stage.name == BASE_MODEL.name and recipe.base_model.start:
        return {START: recipe.base_model.start}
    if stage.name == INSTRUCTION_SCORES.name:
        assert recipe.instructions.scores is not None
        return dict(recipe.instructions.scores.read())
    if stage.name == INSTRUCTION_EMBEDDINGS.name:
        assert recipe.instructions.embeddings is not None
        return dict(recipe.instructions.embeddings.read())
    if stage is CORPUS:
        return {item.name: item for item in recipe.curation.files_read()}
    if stage.identity is RAW_INSTRUCTIONS.identity:  # of any round
        return {item.name: item for item in recipe.instructions.sources if isinstance(item, RecordFiles)}
    if stage is RAW_PREFERENCES:
        return {item.name: item for item in recipe.preferences.sources if isinstance(item, RecordFiles)}
    if stage.identity is BASE_EVAL.identity:  # of any model
        return {item.name: item for item in recipe.evaluation.files_read()}
    if stage.name == COMPARISONS.name:
        return {item.name: item for item in recipe.evaluation.models_read()}
    if stage.identity is PREFERENCE_PAIRS.identity:  # of any round
        return {item.name: item for item in (*recipe.curation.evaluation_files(), *recipe.preferences.files_read())}
    return {}
