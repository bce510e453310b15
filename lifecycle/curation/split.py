"""The held-out split: decided by name before anything is trained, whole groups at a time."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.recipe.corpora import HeldoutConfig
    from lifecycle.recipe.fine_tuning import HeldoutConversations


def is_heldout(group: str, config: "HeldoutConfig | HeldoutConversations") -> bool:
    """Whether a group (a file, a document) is set aside: a hash of (seed, group) against the share, whatever else exists."""
    value = int.from_bytes(hashlib.sha256(f"{config.seed}\n{group}".encode()).digest()[:8], "big")
    return value < config.share * 2**64
