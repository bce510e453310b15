"""The recipe's description of files that hold preferences."""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.base import Section

PreferenceFormat = Literal[
    "message_pair", "conversation_pair", "prompt_pair", "transcripts", "scored_outputs", "votes", "labels"
]


class PreferenceFiles(Section):
    """Files of preferences: JSON, JSON lines or CSV, compressed or in tar or zip archives.

    A format is recognised from each file's first rows; `docs/post-training.md` lists them.
    """

    kind: Literal["files"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """File, directory or glob; `$NAME` and `${NAME}` are taken from the environment."""
    members: str = "*"
    """Which members of an archive are read, as a pattern over their whole path (`*` matches `/` too)."""
    format: PreferenceFormat | None = None
    """How the records are written; null recognises it."""
    task: str = Field(default="general", min_length=1)
    weight: float | None = Field(default=None, gt=0)
    """Share of the pairs, in proportion to those of the other sources and `preferences.pairing.sampled_weight`."""
    licence: str
    tolerance: float = Field(default=0.01, ge=0, le=1)
    """Share of records that cannot be read above which reading fails."""
