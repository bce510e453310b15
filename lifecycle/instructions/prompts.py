"""The wording of every question about a documentation string: the one place for training, preferences and evaluation.

Training draws one of several phrasings; evaluation uses phrasing 0, which is among them.
"""

from typing import Literal

Task = Literal["kind", "summary", "parameter", "returns", "raises", "deprecated", "first_word"]
EVALUATION_PHRASING = 0
KINDS = ("class", "function", "module")
"""The answers to `kind`. Methods are left out: their documentation reads like a function's."""

_PHRASINGS: dict[Task, tuple[str, ...]] = {
    "kind": (
        "What kind of Python object does this documentation describe: class, function or module?\n\n{text}",
        "Is the following the documentation of a class, a function or a module?\n\n{text}",
        "{text}\n\nDoes this documentation string belong to a class, a function or a module?",
    ),
    "summary": (
        "Summarise in one sentence what {name} does.\n\n{text}",
        "Here is a part of the documentation of {name}. Write its first sentence.\n\n{text}",
        "{text}\n\nIn one sentence: what is {name} for?",
    ),
    "parameter": (
        "What does the parameter {item} of {name} mean?\n\n{text}",
        "{text}\n\nExplain the parameter {item} of {name}.",
        "These are parameters of {name}.\n\n{text}\n\nWhat is {item}?",
    ),
    "returns": (
        "What does {name} return?\n\n{text}",
        "{text}\n\nWhat is the return value of {name}?",
        "Read the documentation of {name} and say what it returns.\n\n{text}",
    ),
    "raises": (
        "Which exception does {name} raise, and when?\n\n{text}",
        "{text}\n\nWhen does {name} raise an error?",
        "Which errors must a caller of {name} expect?\n\n{text}",
    ),
    "deprecated": (
        "Is this object deprecated? Answer yes or no.\n\n{text}",
        "{text}\n\nDoes this documentation say that the object is deprecated? Answer yes or no.",
        "Answer yes or no: is what is described here deprecated?\n\n{text}",
    ),
    "first_word": (
        "Repeat the first word of this text.\n\n{text}",
        "What is the first word of the following text?\n\n{text}",
        "Which word does this text begin with?\n\n{text}",
    ),
}

_FOLLOW_UPS: dict[Task, tuple[str, ...]] = {
    "kind": ("And what kind of object is it: class, function or module?", "Is it a class, a function or a module?"),
    "parameter": ("And what does {item} mean?", "And the parameter {item}?"),
    "first_word": ("Which word does the text begin with?", "Repeat the first word of the text."),
}


def prompt(task: Task, phrasing: int, *, text: str, name: str = "it", item: str = "") -> str:
    """The question of `task` about `text`; `name` is the object's, `item` the parameter asked for."""
    return _fill(_PHRASINGS[task][phrasing % len(_PHRASINGS[task])], text, name, item)


def evaluation_prompt(task: Task, *, text: str, name: str = "it", item: str = "") -> str:
    """The question as evaluation asks it."""
    return prompt(task, EVALUATION_PHRASING, text=text, name=name, item=item)


def follow_up(task: Task, phrasing: int, *, item: str = "") -> str:
    """A second question about a text that the conversation has already shown."""
    return _fill(_FOLLOW_UPS[task][phrasing % len(_FOLLOW_UPS[task])], "", "it", item)


def _fill(pattern: str, text: str, name: str, item: str) -> str:
    # Not str.format: documentation is full of braces.
    return pattern.replace("{name}", name).replace("{item}", item).replace("{text}", text)
