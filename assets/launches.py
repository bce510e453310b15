"""When something that is due may be launched: once for each change, and later and later where it keeps failing.

The runs that Dagster knows are the memory: a daemon that starts anew, or a schedule and a sensor that watch the same source,
find what was tried before. A run that a person launches from the same job counts as well.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import dagster as dg

RECIPE_TAG = "lifecycle/recipe"
INTENT_TAG = "lifecycle/intent"
DUE_TAG = "lifecycle/due"
"""What a run was launched for: the fingerprint of the first artifact that it was to make."""
WHY_TAG = "lifecycle/why"
PARTITION_TAG = "dagster/partition"

FIRST_WAIT = 6 * 3600.0
"""Seconds after a failure; doubled after each further one. Thirty days hold seven attempts."""
LOOKED_BACK = 64
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED]


def intent_tags(recipe: str, intent: str, source: str | None = None) -> dict[str, str]:
    """The tags that all runs with one purpose (and source) have."""
    return {RECIPE_TAG: recipe, INTENT_TAG: intent} | ({PARTITION_TAG: source} if source else {})


def under_way(
    instance: dg.DagsterInstance, recipe: str, intents: Collection[str], stages: Collection[str]
) -> set[str | None]:
    """Partitions (None: without one) of unfinished runs that have one of these intents, or make one of these stages.

    Runs of a job have its tags. Those of *Materialize* on a page and of a backfill have none, but name their assets.
    """
    keys = {dg.AssetKey([recipe, stage]) for stage in stages}
    return {
        run.tags.get(PARTITION_TAG)
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if (run.tags.get(RECIPE_TAG) == recipe and run.tags.get(INTENT_TAG) in intents)
        or not keys.isdisjoint(run.asset_selection or ())
    }


def request(
    instance: dg.DagsterInstance, tags: Mapping[str, str], due: str, now: float, why: str | None = None
) -> dg.RunRequest | dg.SkipReason:
    """A run for what is `due`, or why there is none now.

    Args:
        tags: `intent_tags` of the runs that can be launched for it.
        due: what tells this change from the next one.
        now: seconds since 1970.
        why: what changed, which the run carries as a tag.
    """
    # By one tag, the most particular one: to find runs that have all three took 0.7 s among 15,000.
    particular = list(tags.items())[-1:]
    found = instance.get_run_records(dg.RunsFilter(tags=dict(particular)), limit=LOOKED_BACK)  # the newest first
    records = [record for record in found if tags.items() <= record.dagster_run.tags.items()]
    failures, last_end = 0, 0.0
    for record in records:
        run = record.dagster_run
        if not run.is_finished:
            return dg.SkipReason(f"run {run.run_id[:8]} is under way")
        if run.is_success:
            if not failures and run.tags.get(DUE_TAG) == due:
                return dg.SkipReason(f"run {run.run_id[:8]} was launched for this and ended well; it is due all the same")
            break
        failures += 1
        last_end = max(last_end, record.end_time or record.update_timestamp.timestamp())
    again = last_end + FIRST_WAIT * 2 ** (failures - 1)
    if failures and now < again:
        when = datetime.fromtimestamp(again, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return dg.SkipReason(f"failed {failures} times in a row; next attempt after {when}, or launch it by hand")
    newest = records[0].dagster_run.run_id if records else "first"
    return dg.RunRequest(
        run_key=" ".join((*tags.values(), due, newest)),
        partition_key=tags.get(PARTITION_TAG),
        tags={DUE_TAG: due} | ({WHY_TAG: why} if why else {}),
    )
