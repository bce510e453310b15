"""How a model is kept up to date: when its sources are looked at, when it is trained again, what is kept, who is told.

Nothing of it is part of any fingerprint: it decides when stages run, never what they make.
"""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from lifecycle.recipe.base import Section

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
CRON_FIELDS = 5


def _cron(value: str) -> str:
    if len(value.split()) != CRON_FIELDS:
        raise ValueError(f"{value!r} has not the five fields minute, hour, day of month, month, day of week ('0 3 * * *')")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{value!r} is no time zone of the IANA database, such as Europe/Berlin") from None
    return value


class SourceSchedule(Section):
    """A group of sources that is looked at by the clock; what changed is read, cleaned and made into memmaps."""

    name: Name
    cron: Annotated[str, AfterValidator(_cron)]
    """Minute, hour, day of month, month, day of week."""
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    sources: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of sources; null stands for all."""


class Drop(Section):
    """Sources of files (a folder, or a prefix of an object store) that are looked at all the time."""

    name: Name
    sources: tuple[str, ...] = Field(min_length=1)
    every_seconds: int = Field(default=60, ge=1)
    """Between two looks; what changed from one to the next is still being written, and waits."""


class AutomaticTraining(Section):
    """Trainings of the base model that nobody starts by hand."""

    gpu_hours: float = Field(gt=0)
    """That all jobs of the store may take, together with the training that is to begin, within `days`."""
    days: float = Field(default=30.0, gt=0)


class TrainingPolicy(Section):
    """When new text is reason enough to train the base model again."""

    threshold: float = Field(default=0.1, gt=0)
    """Tokens of new text over the tokens of the text that the last base model was made from."""
    device: str | None = None
    """The GPU that the cost is estimated for where no training has been measured, e.g. H200; null: this machine's."""
    automatic: AutomaticTraining | None = None
    """Null: training is proposed, and a person starts it."""


class Retention(Section):
    """Which corpora `lifecycle gc` keeps beside those in use, with all that they were made from."""

    last: int = Field(default=3, ge=1)
    """So many different corpora, the newest first."""
    days: float = Field(default=0.0, ge=0)
    """And those that were the corpus within so many days."""


class Alerts(Section):
    """What somebody should hear of. Failed gates and failed runs always count."""

    stale_after_days: float | None = Field(default=None, ge=0.001)
    """No new corpus for so long: a feed may have died. Null: any age is right. Dagster takes no less than a minute."""
    disk_warn: float = Field(default=0.8, gt=0, lt=1)
    """Share of the store's file system in use above which the check `disk_has_room` warns."""
    disk_fail: float = Field(default=0.95, gt=0, lt=1)
    """And fails."""
    webhook: bool = False
    """Send them to the address in LIFECYCLE_WEBHOOK_URL."""

    @model_validator(mode="after")
    def _warns_first(self) -> "Alerts":
        if self.disk_warn >= self.disk_fail:
            raise ValueError(f"disk_warn {self.disk_warn} must be below disk_fail {self.disk_fail}")
        return self


class Operation(Section):
    """What runs by itself; by default nothing."""

    schedules: tuple[SourceSchedule, ...] = ()
    drops: tuple[Drop, ...] = ()
    training: TrainingPolicy | None = None
    retention: Retention | None = None
    alerts: Alerts | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Operation":
        names = [each.name for each in (*self.schedules, *self.drops)]
        if len(set(names)) != len(names):
            raise ValueError(f"schedules and drops: every name must be unique, got {names}")
        return self
