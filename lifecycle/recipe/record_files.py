"""What the recipe says of files of records, whatever the records hold."""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.base import Section


class RecordFiles(Section):
    """Files of records: JSON, JSON lines or CSV, compressed or in tar or zip archives.

    A format is recognised from each file's first rows; `docs/post-training.md` lists them.
    """

    kind: Literal["files"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """File, directory or glob; `$NAME` and `${NAME}` are taken from the environment."""
    members: str = "*"
    """Which members of an archive are read, as a pattern over their whole path (`*` matches `/` too)."""
    licence: str
    tolerance: float = Field(default=0.01, ge=0, le=1)
    """Share of records that cannot be read above which reading fails."""
