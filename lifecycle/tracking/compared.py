"""Which registered versions a recipe's `evaluation.compare_with` means now."""

import logging
from collections.abc import Sequence

from lifecycle.errors import LifecycleError
from lifecycle.tracking.connection import connect
from lifecycle.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, aliases_of, find_version

logger = logging.getLogger(__name__)


def versions_to_compare(tracking_uri: str, references: Sequence[str], own: str, digest: str) -> list[RegisteredVersion]:
    """The versions, each once, in the order of the recipe.

    `champion` and `previous` are those of the registered model `own`. An alias that points nowhere yet is left out, and so
    is the model itself.

    Args:
        digest: of the content of the model that is compared.

    Raises:
        LifecycleError: a version by number does not exist, its files are gone, or the registry does not answer.
    """
    found: dict[str, RegisteredVersion] = {}
    for each in references:
        reference = f"{own}@{each}" if each in (CHAMPION, PREVIOUS) else each
        name, _, alias = reference.partition("@")
        if alias and alias not in aliases_of(connect(tracking_uri, create=False), name):
            logger.info("evaluation.compare_with: there is no %s yet", reference)
            continue
        version = find_version(tracking_uri, reference)
        if version.digest == digest:
            logger.info("evaluation.compare_with: %s is the model itself", reference)
            continue
        if not version.artifact.path.is_dir():
            raise LifecycleError(
                f"evaluation.compare_with: {version.label} is registered, but its files are gone ({version.uri}); take "
                f"{each} out of the recipe, or restore them"
            )
        found[version.label] = version
    return list(found.values())
