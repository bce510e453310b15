"""The texts that the models were trained on, artifact by artifact, as contamination looks at them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle.corpora.documents import iter_documents
from lifecycle.instructions.conversations import read_conversations
from lifecycle.preferences.table import LABELS, TRAIN, read_labels, read_pairs


@dataclass(frozen=True)
class TrainingArtifact:
    """One artifact that a model was trained on: the stage's name, and the digest of its content."""

    name: str
    path: Path
    digest: str


@dataclass(frozen=True)
class TrainingText:
    """One text, and the questions in it that may be an item's own, word for word."""

    id: str
    text: str
    questions: tuple[str, ...] = ()


def training_texts(artifact: TrainingArtifact) -> Iterator[TrainingText]:
    """The training documents of a `corpus`, the conversations of `instructions` (any round) or `selected_instructions`,
    the training pairs of `preference_pairs` (any round), the labelled answers of `raw_preferences`.

    Raises:
        CorruptArtifactError, DataError: the artifact is damaged.
        ValueError: it is of another stage.
    """
    name, path = artifact.name, artifact.path
    if name == "corpus":
        for document in iter_documents(path / "train", ["id", "text"]):
            yield TrainingText(document["id"], document["text"])
    elif name == "selected_instructions" or name.startswith("instructions"):
        for each in read_conversations(path):
            asked = tuple(message.content for message in each.messages if message.role == "user")
            yield TrainingText(each.id, "\n\n".join(message.content for message in each.messages), asked)
    elif name.startswith("preference_pairs"):
        for pair in read_pairs(path / TRAIN):
            asked = tuple(message.content for message in pair.prompt if message.role == "user")
            yield TrainingText(pair.id, "\n\n".join((*asked, pair.chosen, pair.rejected)), asked)
    elif name == "raw_preferences":
        for label in read_labels(path / LABELS):
            asked = tuple(message.content for message in label.prompt if message.role == "user")
            yield TrainingText(label.id, "\n\n".join((*asked, label.answer)), asked)
    else:
        raise ValueError(f"contamination: {name} is no artifact of training texts")
