"""Schedules and sensors: what looks at the sources, and what may follow from that. Each exists where the recipe asks."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

import dagster as dg

from assets.jobs import CURATE, EVERYTHING, MEMMAPS, PRETRAIN, TRAIN_AND_ALIGN
from assets.launches import intent_tags, request, under_way
from lifecycle.artifacts import Store
from lifecycle.digests import digest_json
from lifecycle.errors import LifecycleError
from lifecycle.recipe.operation import Drop, SourceSchedule, TrainingPolicy
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import memmap_stages, stages_of

YOUNG_SECONDS = 60.0
"""A schedule looks once: a file that was written so shortly before may not be whole yet. A drop looks twice instead."""
FOLLOW_SECONDS = 60
TRAIN_SECONDS = 300
LISTED = 8
LONGEST_TICK = 40.0
"""Seconds after which a tick leaves further sources to the next one: Dagster ends one after 60, and nothing is launched."""

Automation = dg.ScheduleDefinition | dg.SensorDefinition


@dataclass
class Looks:
    """What one tick found: runs to launch, and of every other source why there is none."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def idle(self, names: Sequence[str], reading: Collection[str | None]) -> Iterator[str]:
        """Those of the sources that no run reads now, as long as there is time for one more."""
        began = monotonic()
        for name in names:
            if name in reading:
                self.reasons[name] = "a run that reads it is under way"
            elif monotonic() - began > LONGEST_TICK:
                self.reasons[name] = "this tick has no time left; the next one looks"
            else:
                yield name

    def skipped(self) -> dg.SkipReason:
        """All reasons, sources with the same one together."""
        together: dict[str, list[str]] = {}
        for source, reason in self.reasons.items():
            together.setdefault(reason, []).append(source)
        return dg.SkipReason("; ".join(f"{_listed(names)}: {reason}" for reason, names in together.items()))


def _listed(names: Sequence[str]) -> str:
    """Some names for people: Dagster keeps the reason of every tick, and shows a description wherever its name stands."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def automation(recipe: Recipe, store: Store) -> Iterator[Automation]:
    """All that the recipe's section `operation` asks to be launched by itself."""
    operation = recipe.operation
    for schedule in operation.schedules:
        yield source_schedule(schedule, recipe, store)
    for drop in operation.drops:
        yield drop_sensor(drop, recipe, store)
    if operation.schedules or operation.drops:
        yield memmaps_sensor(recipe, store)
    if operation.training and operation.training.automatic:
        yield training_sensor(operation.training, recipe, store)


def source_schedule(config: SourceSchedule, recipe: Recipe, store: Store) -> dg.ScheduleDefinition:
    """Looks at a group of sources by the clock, and curates those that changed."""
    names = config.sources or tuple(source.name for source in recipe.sources)

    @dg.schedule(
        name=config.name,
        job_name=CURATE,
        cron_schedule=config.cron,
        execution_timezone=config.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Looks at {_listed(names)}; what changed is read and cleaned, what did not is skipped.",
    )
    def look(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time.timestamp()
        found = Looks()
        for name in found.idle(names, _reading(context.instance, recipe)):
            _look(found, context.instance, recipe, store, name, now, lambda name: _young(recipe, name, now))
        return found.requests or found.skipped()

    return look


def drop_sensor(config: Drop, recipe: Recipe, store: Store) -> dg.SensorDefinition:
    """Looks at folders or prefixes all the time, and curates what changed and then stayed as it was for one look."""

    @dg.sensor(
        name=config.name,
        job_name=CURATE,
        minimum_interval_seconds=config.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks at {_listed(config.sources)} every {config.every_seconds} s; takes what has settled.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        now_seen: dict[str, str] = {}

        def unsettled(name: str) -> str | None:
            from lifecycle.corpora.snapshot import states

            now_seen[name] = digest_json(states(recipe.source(name)))
            return None if seen.get(name) == now_seen[name] else "changed since the last look: waiting until it is still"

        found = Looks()
        for name in found.idle(config.sources, _reading(context.instance, recipe)):
            _look(found, context.instance, recipe, store, name, time.time(), unsettled)
        cursor = json.dumps(now_seen)
        if found.requests:
            return dg.SensorResult(run_requests=found.requests, cursor=cursor)
        return dg.SensorResult(skip_reason=found.skipped(), cursor=cursor)

    return look


def _look(
    found: Looks,
    instance: dg.DagsterInstance,
    recipe: Recipe,
    store: Store,
    name: str,
    now: float,
    unsettled: Callable[[str], str | None],
) -> None:
    """Note in `found` what is to be done about one source."""
    from lifecycle.recuration import source_due

    try:
        waits = unsettled(name)
        due = None if waits else source_due(recipe, store, name)
    except LifecycleError as error:
        found.reasons[name] = str(error)
        return
    if due is None:
        found.reasons[name] = waits or "nothing changed"
        return
    asked = request(instance, intent_tags(recipe.name, CURATE, name), due.fingerprint, now, due.why)
    if isinstance(asked, dg.SkipReason):
        found.reasons[name] = f"{due.why}, but {asked.skip_message}"
        return
    found.requests.append(asked)


def _young(recipe: Recipe, name: str, now: float) -> str | None:
    from lifecycle.corpora.snapshot import states

    for file, (_, modified, *_) in states(recipe.source(name)).items():
        if isinstance(modified, float) and 0 <= now - modified < YOUNG_SECONDS:
            return f"{file} was written {now - modified:.0f} s ago and may not be whole; the next tick looks again"
    return None


def memmaps_sensor(recipe: Recipe, store: Store) -> dg.SensorDefinition:
    """Makes corpus and memmaps of the cleaned sources once all that are being read have come to an end, well or not."""

    @dg.sensor(
        name="memmaps_follow_sources",
        job_name=MEMMAPS,
        minimum_interval_seconds=FOLLOW_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="When sources were cleaned anew, added or removed: one corpus of all, its tokenizer, its memmap.",
    )
    def follow(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from lifecycle.recuration import memmaps_due

        reading = _reading(context.instance, recipe)
        if reading:
            return dg.SkipReason(f"waiting for {_listed(sorted(name or 'a run' for name in reading))}")
        making = [stage.name for stage in memmap_stages(recipe)]
        if under_way(context.instance, recipe.name, (MEMMAPS, PRETRAIN, TRAIN_AND_ALIGN), making):
            return dg.SkipReason("a run that makes them is under way")
        try:
            due = memmaps_due(recipe, store)
        except LifecycleError as error:
            return dg.SkipReason(str(error))
        if due is None:
            return dg.SkipReason("the memmaps are those of the sources as they were cleaned last")
        asked = request(context.instance, intent_tags(recipe.name, MEMMAPS), due.fingerprint, time.time())
        if isinstance(asked, dg.SkipReason):
            return dg.SkipReason(f"{due.stage}: {due.why}, but {asked.skip_message}")
        return asked

    return follow


def _reading(instance: dg.DagsterInstance, recipe: Recipe) -> set[str | None]:
    """Sources that a run reads or cleans now; None stands for a run without a partition."""
    per_source = [stage.name for stage in stages_of(recipe) if stage.per_source]
    return under_way(instance, recipe.name, (CURATE, EVERYTHING), per_source)


def training_sensor(config: TrainingPolicy, recipe: Recipe, store: Store) -> dg.SensorDefinition:
    """Launches `pretrain` where `training_due` asks for it and the GPU-hours allow it; never for any other reason."""
    automatic = config.automatic
    assert automatic is not None

    @dg.sensor(
        name="train_when_due",
        job_name=PRETRAIN,
        minimum_interval_seconds=TRAIN_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains the base model again when the check training_due fails, within {automatic.gpu_hours:g} "
        f"GPU-hours in {automatic.days:g} days.",
    )
    def train(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from assets.budget import spent_gpu_hours
        from lifecycle.training_due import read_verdict

        now = time.time()
        verdict = read_verdict(recipe, store)
        if verdict is None:
            return dg.SkipReason("the check training_due has not looked at this memmap and this base model yet")
        if not verdict.due:
            return dg.SkipReason(verdict.sentence())
        spent = spent_gpu_hours(context.instance, store, now - automatic.days * 86400, now)
        left = automatic.gpu_hours - spent
        budget = f"{max(left, 0):.2f} of {automatic.gpu_hours:g} GPU-hours in {automatic.days:g} days are left"
        if verdict.gpu_hours is None:
            return dg.SkipReason(f"training is due, but its cost is not known ({verdict.cost_from}); {budget}")
        if verdict.gpu_hours > left:
            return dg.SkipReason(f"training is due and takes about {verdict.gpu_hours:.2f} GPU-hours, but {budget}")
        asked = request(context.instance, intent_tags(recipe.name, PRETRAIN), verdict.memmap, now)
        if isinstance(asked, dg.SkipReason):
            return dg.SkipReason(f"training is due, but {asked.skip_message}")
        return asked

    return train
