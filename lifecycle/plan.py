"""What a run would do, before it does it: for every stage reuse, maybe or run, and why."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from lifecycle.artifacts import Artifact, InputReference, Manifest, Store, fingerprint_of
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.evaluation.gates import decide_gates
from lifecycle.previous import previous_manifest
from lifecycle.recipe import Recipe
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.alignment import InstructionFiles, PreferenceFiles
from lifecycle.recipe.base import Section
from lifecycle.recipe.corpora import FilesRead, SourceBase
from lifecycle.recipe.quality import samples
from lifecycle.stages import (
    BASE_MODEL,
    CHAMPION,
    CORPUS,
    EVAL_REPORT,
    INSTRUCTION_EMBEDDINGS,
    INSTRUCTION_SCORES,
    PREFERENCE_PAIRS,
    QUALITY_MODEL,
    RAW_CORPORA,
    RAW_INSTRUCTIONS,
    RAW_PREFERENCES,
    SNAPSHOT,
    START,
    Stage,
    input_references,
    rounds_of,
    stages_of,
)

RawBytes = SourceBase | InstructionFiles | PreferenceFiles | FilesRead | StartingModel
Known = dict[tuple[str, str | None], Artifact]
SHOWN_CHARACTERS = 60
COLOURS = {"reuse": "green", "maybe": "cyan", "run": "yellow", "decide": "blue"}


class PlanLine(Section):
    """What would happen to one stage (of one source)."""

    stage: str
    source: str | None
    action: Literal["reuse", "maybe", "run", "decide"]
    """`maybe`: reused if what it is made from comes out with the same bytes as before; `decide`: the champion."""
    why: str
    fingerprint: str | None = None
    """None where it depends on an input that will be made anew."""
    digest: str | None = None


def plan(recipe: Recipe, store: Store, snapshot: Callable[[RawBytes], str] | None = None) -> list[PlanLine]:
    """Whether each stage would be reused or run, in the order of the life, and last the champion; nothing is changed.

    Args:
        snapshot: digest of the raw bytes of a source; by default the reader's own, which hashes the files.

    Raises:
        DataError: a source's files cannot be found or read.
    """
    snapshot = snapshot or _snapshot
    known: Known = {}
    lines: list[PlanLine] = []
    for stage in stages_of(recipe):
        for source in [source.name for source in recipe.sources] if stage.per_source else [None]:
            line = _line(recipe, store, stage, source, known, lines, snapshot)
            lines.append(line)
            if line.action == "reuse" and line.fingerprint and line.digest:
                uri = str(store.directory(stage.name, line.fingerprint))
                artifact = Artifact(stage=stage.name, fingerprint=line.fingerprint, digest=line.digest, uri=uri)
                known[stage.name, source] = artifact
    return [*lines, _champion(recipe, known)]


def render(lines: list[PlanLine]) -> Table:
    """The plan as a table for the terminal."""
    runs, maybe, reused = (sum(line.action == action for line in lines) for action in ("run", "maybe", "reuse"))
    some = f", {maybe} perhaps" if maybe else ""
    table = Table(title=f"{runs} to run{some}, {reused} to reuse", title_justify="left", title_style="bold")
    for column in ("asset", "plan", "why"):
        table.add_column(column, overflow="fold", no_wrap=column != "why")
    for line in lines:
        colour = COLOURS[line.action]
        table.add_row(_name(line.stage, line.source), f"[{colour}]{line.action}[/{colour}]", escape(line.why))
    return table


def _may_repeat(recipe: Recipe, previous: Manifest, unknown: list[str], lines: list[PlanLine]) -> bool:
    """Whether all of these inputs, which will be made anew, may have the bytes that `previous` was made from."""
    before = {item.name: item.fingerprint for item in previous.inputs}
    with_a_model = {stage.name for stage in stages_of(recipe) if stage.with_a_model}
    for line in lines:
        name = _name(line.stage, line.source)
        if name not in unknown:
            continue
        own = before.get(name, before.get(line.stage))  # a stage per source calls its one input by the stage's name
        if own is None or (line.action == "run" and line.stage in with_a_model and line.fingerprint != own):
            return False
    return True


def _champion(recipe: Recipe, known: Known) -> PlanLine:
    """The champion makes no artifact: it is decided in every run, on the report and the recipe's gates as they are."""
    report, model = known.get((EVAL_REPORT.name, None)), known.get((rounds_of(recipe)[-1].model.name, None))
    if report is None or model is None:
        return PlanLine(stage=CHAMPION, source=None, action="decide", why="on the report that will be made")
    try:
        results = decide_gates(report.path, recipe.gates)
    except LifecycleError as error:
        return PlanLine(stage=CHAMPION, source=None, action="decide", why=f"will fail: {error}")
    failed = [f"{gate.model} {gate.metric} is {gate.value:.3f}, not {gate.condition()}" for gate in results if gate.failed]
    if failed:
        return PlanLine(stage=CHAMPION, source=None, action="decide", why=f"will be refused: {'; '.join(failed)}")
    why = f"all blocking gates hold: model {model.digest[:8]} is the champion afterwards"
    return PlanLine(stage=CHAMPION, source=None, action="decide", why=why)


def _line(
    recipe: Recipe,
    store: Store,
    stage: Stage,
    source: str | None,
    known: Known,
    before: list[PlanLine],
    snapshot: Callable[[RawBytes], str],
) -> PlanLine:
    identity = stage.identity(recipe, source)
    previous = previous_manifest(store, recipe.name, stage, source)
    inputs, unknown = _inputs(recipe, stage, source, known)
    if unknown:
        own = [*_own_differences(previous, stage, identity), *_changed_inputs(previous, inputs)] if previous else []
        if previous and not own and _may_repeat(recipe, previous, unknown, before):
            gives = "gives" if len(unknown) == 1 else "give"
            why = f"reused if {', '.join(unknown)} {gives} the same bytes as before"
            return PlanLine(stage=stage.name, source=source, action="maybe", why=why)
        reasons = [*own, f"input{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} will be made anew"]
        return PlanLine(stage=stage.name, source=source, action="run", why="; ".join(reasons))
    raw = {name: snapshot(item) for name, item in _raw_bytes(recipe, stage, source).items()}
    references = input_references(stage, inputs, raw)
    fingerprint = fingerprint_of(stage.name, stage.code_version, identity, {item.name: item.digest for item in references})
    line = PlanLine(stage=stage.name, source=source, action="run", why="", fingerprint=fingerprint)
    try:
        found = store.find(stage.name, fingerprint)
    except CorruptArtifactError as error:
        return line.model_copy(update={"why": f"damaged, will be set aside: {error}"})
    if found:
        why = f"made {found.manifest.created_at}"
        return line.model_copy(update={"action": "reuse", "why": why, "digest": found.artifact.digest})
    if previous is None:
        return line.model_copy(update={"why": "never made before"})
    reasons = [*_own_differences(previous, stage, identity), *_input_differences(previous.inputs, references)]
    return line.model_copy(update={"why": "; ".join(reasons) or f"the artifact of {previous.created_at} is gone"})


def _inputs(
    recipe: Recipe, stage: Stage, source: str | None, known: Known
) -> tuple[dict[str, Artifact | Mapping[str, Artifact]], list[str]]:
    """The stage's inputs as far as they exist, and the names of those that do not."""
    per_source = {upstream.name for upstream in stages_of(recipe) if upstream.per_source}
    inputs: dict[str, Artifact | Mapping[str, Artifact]] = {}
    unknown: list[str] = []
    for name in stage.inputs:
        gathers = name in per_source and not stage.per_source
        wanted = [each.name for each in recipe.sources] if gathers else [source if name in per_source else None]
        found = {each: known[name, each] for each in wanted if (name, each) in known}
        unknown += [_name(name, each) for each in wanted if each not in found]
        if gathers:
            inputs[name] = {str(each): artifact for each, artifact in found.items()}
        elif found:
            inputs[name] = found[wanted[0]]
    return inputs, unknown


def _raw_bytes(recipe: Recipe, stage: Stage, source: str | None) -> dict[str, RawBytes]:
    """Raw bytes that the stage reads itself, under the names of `input_references`."""
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
    if stage is RAW_INSTRUCTIONS:
        return {item.name: item for item in recipe.instructions.sources if isinstance(item, InstructionFiles)}
    if stage is RAW_PREFERENCES:
        return {item.name: item for item in recipe.preferences.sources if isinstance(item, PreferenceFiles)}
    if stage.identity is PREFERENCE_PAIRS.identity:  # of any round
        return {item.name: item for item in (*recipe.curation.evaluation_files(), *recipe.preferences.files_read())}
    return {}


def _snapshot(source: RawBytes) -> str:
    from lifecycle.corpora.snapshot import snapshot

    return snapshot(source).digest


def _own_differences(previous: Manifest, stage: Stage, identity: Any) -> list[str]:
    reasons = []
    if previous.code_version != stage.code_version:
        reasons.append(f"code version {previous.code_version} → {stage.code_version}")
    return [*reasons, *_differences(previous.identity, identity, "")]


def _changed_inputs(previous: Manifest, inputs: Mapping[str, Artifact | Mapping[str, Artifact]]) -> list[str]:
    """Which of the inputs that are there already have other bytes than those that `previous` was made from."""
    flat: dict[str, Artifact] = {}
    for name, given in inputs.items():
        flat |= {name: given} if isinstance(given, Artifact) else {f"{name}/{each}": made for each, made in given.items()}
    before = {item.name: item.digest for item in previous.inputs}
    changed = [name for name, artifact in flat.items() if before.get(name) != artifact.digest]
    return [f"input {name} changed ({before.get(name, 'none')[:8]} → {flat[name].digest[:8]})" for name in changed]


def _input_differences(before: tuple[InputReference, ...], now: tuple[InputReference, ...]) -> list[str]:
    old, new = ({item.name: item.digest for item in items} for items in (before, now))
    reasons = [f"input {name} is new" for name in new if name not in old]
    reasons += [f"input {name} is gone" for name in old if name not in new]
    changed = [name for name in new if name in old and old[name] != new[name]]
    return reasons + [f"input {name} changed ({old[name][:8]} → {new[name][:8]})" for name in changed]


def _differences(before: Any, now: Any, path: str) -> list[str]:
    """The leaves in which two identities differ, as `path old → new`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        missing = object()
        pairs = [(before.get(key, missing), now.get(key, missing), key) for key in keys]
        reasons: list[str] = []
        for old, new, key in pairs:
            name = f"{path}.{key}" if path else str(key)
            if old is missing or new is missing:
                reasons.append(f"{name} {'is new' if old is missing else 'is gone'}")
            else:
                reasons += _differences(old, new, name)
        return reasons
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            reason
            for i, (old, new) in enumerate(zip(before, now, strict=True))
            for reason in _differences(old, new, f"{path}[{i}]")
        ]
    return [] if before == now else [f"{path or 'value'} {_shown(before)} → {_shown(now)}"]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _name(stage: str, source: str | None) -> str:
    return f"{stage}/{source}" if source else stage
