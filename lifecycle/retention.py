"""Which corpora outlive their use: the last few of each recipe, by its policy, which `lifecycle gc` finds in the store."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lifecycle.artifacts import Artifact, Store
from lifecycle.errors import LifecycleError
from lifecycle.files import write_atomically
from lifecycle.locks import StoreLock
from lifecycle.recipe.base import Section
from lifecycle.recipe.operation import Retention

PLACE = ".kept"
DAY = 86400.0


class Snapshot(Section):
    """One artifact, and when it was last made or used again (seconds since 1970)."""

    stage: str
    fingerprint: str
    at: float


class Kept(Section):
    """What one recipe keeps: `snapshots`, the newest first, as far as its policy as it was then goes."""

    policy: Retention
    snapshots: tuple[Snapshot, ...] = ()

    def standing(self, now: float) -> tuple[Snapshot, ...]:
        """Those that the policy keeps at this moment."""
        return tuple(
            each
            for place, each in enumerate(self.snapshots)
            if place < self.policy.last or each.at > now - self.policy.days * DAY
        )


def remember(store: Store, recipe_name: str, artifact: Artifact, policy: Retention) -> None:
    """Put `artifact` in front of what the recipe keeps, and what its policy no longer keeps out of it."""
    path = store.root / PLACE / f"{recipe_name}.json"
    now = time.time()
    with StoreLock(store.root / ".locks" / f"kept-{recipe_name}.lock"):
        before = _read(path).snapshots if path.exists() else ()
        others = tuple(each for each in before if each.fingerprint != artifact.fingerprint)
        newest = Snapshot(stage=artifact.stage, fingerprint=artifact.fingerprint, at=now)
        kept = Kept(policy=policy, snapshots=(newest, *others))
        kept = kept.model_copy(update={"snapshots": kept.standing(now)})
        write_atomically(path, kept.model_dump_json(indent=1))


def retained(store: Store) -> Iterator[tuple[str, str]]:
    """Stage and fingerprint of all that the recipes of a store keep now.

    Raises:
        LifecycleError: a list is damaged; what it keeps is unknown then, and nothing is safe to remove.
    """
    directory = store.root / PLACE
    for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
        yield from ((each.stage, each.fingerprint) for each in _read(path).standing(time.time()))


def _read(path: Path) -> Kept:
    try:
        return Kept.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise LifecycleError(f"{path}: damaged list of kept corpora ({error}); mend it, or remove it") from error
