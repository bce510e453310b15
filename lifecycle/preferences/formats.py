"""Every way in which preference sets are written that is known here: how it is recognised, and how it is read."""

import re
from dataclasses import dataclass
from typing import Any

from lifecycle.instructions.conversations import Message
from lifecycle.instructions.formats import has, question_of, string
from lifecycle.instructions.messages import read_messages
from lifecycle.instructions.records import DoesNotFitError, Format

PROMPTS = ("prompt", "question", "instruction", "query")
CHOSEN, REJECTED = ("chosen", "response_j"), ("rejected", "response_k")
ANSWERS = ("completion", "response", "output", "answer")
TURN = re.compile(r"\n\n(Human|Assistant):(.*?)(?=\n\n(?:Human|Assistant):|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Preference:
    """A prompt that ends with the user, and what was preferred to what."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Label:
    """A prompt that ends with the user, one answer, and whether it was wanted (Ethayarajh et al. 2024, KTO)."""

    prompt: tuple[Message, ...]
    answer: str
    wanted: bool


def _prompt(record: dict[str, Any]) -> tuple[Message, ...]:
    system, tools = string(record, "system", default="") or None, record.get("tools")
    name = next((each for each in PROMPTS if each in record), None)
    if name is None:
        raise DoesNotFitError("missing_field", f"field {' or '.join(PROMPTS)}: is missing")
    value = question_of(record) if name == "instruction" else record[name]
    if isinstance(value, str):
        if not value.strip():
            raise DoesNotFitError("empty_message", f"field {name}: is empty")
        value = [{"role": "user", "content": value}]
    return _asked(read_messages(value, name, tools, system), name)


def _asked(prompt: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    if not prompt or prompt[-1].role != "user":
        who = prompt[-1].role if prompt else "nobody"
        raise DoesNotFitError("no_question", f"field {field}: the last message is the user's, not {who}'s")
    return prompt


def _answer(value: Any, field: str) -> str:
    """A string, or a message of the assistant."""
    if isinstance(value, dict):
        (message, *more) = read_messages([value], field)
        if more or message.role != "assistant":
            raise DoesNotFitError("unknown_role", f"field {field}: must be a message of the assistant")
        value = message.content
    if not isinstance(value, str):
        raise DoesNotFitError("wrong_type", f"field {field}: must be a string or a message, is {type(value).__name__}")
    if not value.strip():
        raise DoesNotFitError("empty_message", f"field {field}: is empty", sound=True)
    return value


def _pair_of_conversations(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> Preference:
    """Two conversations that differ in their last message alone."""
    if chosen[:-1] != rejected[:-1]:
        raise DoesNotFitError("prompts_differ", "chosen and rejected differ before their last message")
    if chosen[-1].role != "assistant" or rejected[-1].role != "assistant":
        raise DoesNotFitError("no_answer", "chosen and rejected must end with the assistant's message")
    prompt = _asked(chosen[:-1], "chosen")
    return Preference(prompt, _answer(chosen[-1].content, "chosen"), _answer(rejected[-1].content, "rejected"))


def _message_pair(record: Any) -> Preference:
    names = [next(name for name in (f"{side}_messages", side) if name in record) for side in ("chosen", "rejected")]
    return _pair_of_conversations(*(read_messages(record[name], name, record.get("tools")) for name in names))


def _conversation_pair(record: Any) -> Preference:
    system = string(record, "system", default="") or None
    prompt = _asked(read_messages(record["conversations"], "conversations", record.get("tools"), system), "conversations")
    return Preference(prompt, _answer(record["chosen"], "chosen"), _answer(record["rejected"], "rejected"))


def _prompt_pair(record: Any) -> Preference:
    """Answers may be strings, messages, or lists of messages that begin with the prompt or hold the answer alone."""
    prompt = _prompt(record)
    answers = []
    for names in (CHOSEN, REJECTED):
        name = next((each for each in names if each in record), names[0])
        value = record.get(name)
        if isinstance(value, list):
            messages = read_messages(value, name)
            if messages[:-1] not in ((), prompt):
                raise DoesNotFitError("prompts_differ", f"field {name}: its messages do not begin with the prompt's")
            value = messages[-1].content
        answers.append(_answer(value, name))
    return Preference(prompt, *answers)


def _transcripts(record: Any) -> Preference:
    """Bai et al. 2022, HH-RLHF: whole transcripts, `\\n\\nHuman: …\\n\\nAssistant: …`, that differ in the last turn."""
    return _pair_of_conversations(*(_transcript(record[side], side) for side in ("chosen", "rejected")))


def _transcript(text: Any, field: str) -> tuple[Message, ...]:
    found = TURN.findall(text) if isinstance(text, str) else []
    if not found:
        raise DoesNotFitError("wrong_type", f"field {field}: must be a transcript of Human and Assistant")
    return tuple(Message(role="user" if who == "Human" else "assistant", content=said.strip()) for who, said in found)


def _is_transcripts(record: Any) -> bool:
    return (
        has("chosen", "rejected")(record)
        and not has("|".join(PROMPTS))(record)
        and all(isinstance(record[side], str) for side in ("chosen", "rejected"))
    )


def _is_message_pair(record: Any) -> bool:
    if has("chosen_messages", "rejected_messages")(record):
        return True
    return (
        has("chosen", "rejected")(record)
        and not has("|".join((*PROMPTS, "conversations")))(record)
        and all(isinstance(record[side], list) for side in ("chosen", "rejected"))
    )


def _scored_outputs(record: Any) -> Preference:
    """AlpacaEval (Dubois et al. 2023): `preference` from 1, all for the first output, to 2, all for the second."""
    value = record["preference"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 2:
        raise DoesNotFitError("wrong_type", f"field preference: must be a number from 1 to 2, is {value!r}")
    if value == 1.5:
        raise DoesNotFitError("tie", "field preference: neither output is preferred", sound=True)
    return _ordered(record, "output_1", "output_2", first=value < 1.5)


def _votes(record: Any) -> Preference:
    """PandaLM (Wang et al. 2023): each annotator names response 1 or 2, or 0 for a tie; the majority decides."""
    votes = [record[name] for name in sorted(record) if name.startswith("annotator")]
    if not votes or any(vote not in (0, 1, 2) for vote in votes):
        raise DoesNotFitError("wrong_type", f"fields annotator1 …: must be 0, 1 or 2, are {votes}")
    first, second = votes.count(1), votes.count(2)
    if max(first, second) * 2 <= len(votes):
        raise DoesNotFitError("tie", "no response has the votes of most annotators", sound=True)
    return _ordered(record, "response1", "response2", first=first > second)


def _ordered(record: dict[str, Any], one: str, two: str, *, first: bool) -> Preference:
    chosen, rejected = (one, two) if first else (two, one)
    return Preference(_prompt(record), _answer(record[chosen], chosen), _answer(record[rejected], rejected))


def _label(record: Any) -> Label:
    wanted = record["label"]
    if not isinstance(wanted, bool):
        raise DoesNotFitError("wrong_type", f"field label: must be true or false, is {wanted!r}")
    if "messages" not in record:
        name = next((each for each in ANSWERS if each in record), ANSWERS[0])
        return Label(_prompt(record), _answer(record.get(name), name), wanted)
    messages = read_messages(record["messages"], "messages", record.get("tools"))
    if messages[-1].role != "assistant":
        raise DoesNotFitError("no_answer", "field messages: the last message is the assistant's")
    return Label(_asked(messages[:-1], "messages"), _answer(messages[-1].content, "messages"), wanted)


FORMATS: tuple[Format[Preference | Label], ...] = (
    Format("message_pair", _is_message_pair, _message_pair),
    Format("conversation_pair", has("conversations", "chosen", "rejected"), _conversation_pair),
    Format("prompt_pair", has("|".join(PROMPTS), "|".join(CHOSEN), "|".join(REJECTED)), _prompt_pair),
    Format("transcripts", _is_transcripts, _transcripts),
    Format("scored_outputs", has("instruction", "output_1", "output_2", "preference"), _scored_outputs),
    Format("votes", has("instruction", "response1", "response2", "annotator1"), _votes),
    Format("labels", has("|".join(("messages", *PROMPTS)), "label"), _label),
)
"""In the order in which they are tried: of two that fit as many rows, the first."""
