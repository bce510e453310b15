"""The held-out split: decided by name before anything is trained, whole groups at a time."""

import hashlib
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lifecycle.recipe.corpora import HeldoutConfig
    from lifecycle.recipe.fine_tuning import HeldoutConversations


def is_heldout(group: str, config: "HeldoutConfig | HeldoutConversations") -> bool:
    """Whether a group (a file, a document) is set aside: a hash of (seed, group) against the share, whatever else exists."""
    return bool(are_heldout([group], config)[0])


def are_heldout(groups: Iterable[str], config: "HeldoutConfig | HeldoutConversations") -> NDArray[np.bool_]:
    """The same of many groups, shape (groups,)."""
    seed = f"{config.seed}\n"
    digests = b"".join([hashlib.sha256((seed + group).encode()).digest() for group in groups])
    leading = np.frombuffer(digests, dtype=">u8")[::4]
    return leading < np.uint64(math.ceil(config.share * 2**64))
