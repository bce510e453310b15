"""The recipe's description of files that hold preferences."""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.record_files import RecordFiles

PreferenceFormat = Literal[
    "message_pair", "conversation_pair", "prompt_pair", "transcripts", "scored_outputs", "votes", "labels"
]


class PreferenceFiles(RecordFiles):
    """Files of preferences: JSON, JSON lines or CSV, compressed or in tar or zip archives.

    A format is recognised from each file's first rows; `docs/post-training.md` lists them.
    """

    format: PreferenceFormat | None = None
    """How the records are written; null recognises it."""
    task: str = Field(default="general", min_length=1)
    weight: float | None = Field(default=None, gt=0)
    """Share of the pairs, in proportion to those of the other sources and `preferences.pairing.sampled_weight`."""
