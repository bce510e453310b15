"""The column `linear`: how much a conversation is like those that somebody labelled good, by a linear model learnt here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.curation.language import language_of
from lifecycle.curation.model import read_model
from lifecycle.curation.model_training import Sample, in_heldout, learn
from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.files import file_conversations
from lifecycle.instructions.scores import MIN_LANGUAGE_SCORE
from lifecycle.recipe.instruction_scores import LinearScores

DIRECTORY = "linear"


def linear_scores(
    conversations: Sequence[Conversation], config: LinearScores, out: Path, run_dir: Path
) -> tuple[list[float], dict[str, Any]]:
    """Learn the model, write it into `out`/linear, and score each conversation: 0 to 1, NaN in a language without samples.

    Returns the scores in the order of the conversations, and figures on the labelled samples that were held out.

    Raises:
        DataError: a file has nothing to give, or a language has too few samples of a kind.
    """
    labelled = [(source, True) for source in config.good] + [(source, False) for source in config.bad]
    samples = []
    for source, good in labelled:
        found, _ = file_conversations(source)
        samples += [Sample(each.text(), _language(each), good, in_heldout(each.group, config)) for each in found]
    directory = out / DIRECTORY
    directory.mkdir()
    facts = learn("instructions.scores.linear", samples, config, directory, run_dir)
    model = read_model(directory)
    return [model.score(each.text(), _language(each)) for each in conversations], facts


def _language(conversation: Conversation) -> str:
    return language_of(conversation.text(), conversation.language or "en", MIN_LANGUAGE_SCORE)
