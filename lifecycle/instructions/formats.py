"""Every way in which instruction sets are written that is known here: how it is recognised, and how it is read."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.instructions.conversations import Message
from lifecycle.instructions.messages import Turn, call_text, joined, read_messages, result_text, thought
from lifecycle.instructions.records import DoesNotFitError, Format

QUESTIONS = ("question", "ask", "query", "prompt", "instruction", "problem")
ANSWERS = ("answer", "response", "output", "completion")
NO_INPUT = re.compile(r"\s*`?<?\bno ?input>?`?\s*$", re.IGNORECASE)
"""What sets made with models write where an instruction has no input."""
MOSS_MARKS = re.compile(r"^<\|[^|>]*\|>:?\s*|\s*<eo[a-z]>\s*$")
MOSS_SOURCES = re.compile(r"\s*<sup><\|[^|>]*\|></sup>")
SEPARATED = re.compile(r"(?<=[^\x00-\x7f]) | (?=[^\x00-\x7f])|(?<=\b\d) (?=\d\b)")


@dataclass(frozen=True)
class Reading:
    """What one record says; None where it does not say it."""

    messages: tuple[Message, ...]
    task: str | None = None
    group: str | None = None
    difficulty: float | None = None


def string(record: dict[str, Any], *names: str, default: str | None = None) -> str:
    """The first of these fields that the record has; raises DoesNotFitError where it is no string, or none is there."""
    for name in names:
        if record.get(name) is not None:
            if not isinstance(record[name], str):
                raise DoesNotFitError("wrong_type", f"field {name}: must be a string, is {type(record[name]).__name__}")
            return record[name]
    if default is None:
        raise DoesNotFitError("missing_field", f"field {' or '.join(names)}: is missing")
    return default


def question_of(record: dict[str, Any]) -> str:
    """Instruction and input of a record in Alpaca's form, as one question."""
    instruction, given = string(record, "instruction").strip(), string(record, "input", default="").strip()
    return instruction if not NO_INPUT.sub("", given) else f"{instruction}\n\n{given}"


def has(*fields: str) -> Callable[[Any], bool]:
    """Whether a record has all of these fields; of names joined by `|`, one of them."""
    return lambda record: (
        isinstance(record, dict) and all(any(name in record for name in field.split("|")) for field in fields)
    )


def _reading(record: Any, messages: Sequence[Message], difficulty: str = "difficulty") -> Reading:
    if not isinstance(record, dict):
        return Reading(tuple(messages))
    return Reading(
        tuple(messages),
        task=string(record, "task", default="") or None,
        group=string(record, "group", default="") or None,
        difficulty=_number(record, difficulty),
    )


def _number(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DoesNotFitError("wrong_type", f"field {name}: must be a finite number, is {value!r}")
    return number


def _alpaca(record: Any) -> Reading:
    history = record.get("history") or []
    pairs = [pair for pair in history if isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)]
    if len(pairs) != len(history):
        raise DoesNotFitError("wrong_type", "field history: must be a list of [question, answer]")
    turns = [Turn(kind, text) for pair in pairs for kind, text in zip(("user", "assistant"), pair, strict=True)]  # type: ignore[arg-type]
    turns += [Turn("user", question_of(record)), Turn("assistant", string(record, "output", "response"))]
    return _reading(record, joined(turns, system=string(record, "system", default="") or None))


def _seed_task(record: Any) -> Reading:
    """Wang et al. 2023, Self-Instruct: an instruction with one instance; of several the first is taken."""
    instances = record["instances"]
    if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
        raise DoesNotFitError("wrong_type", "field instances: must be a list of {input, output} that is not empty")
    return _alpaca({"instruction": record["instruction"], **instances[0]})


def _listed(field: str) -> Callable[[Any], Reading]:
    def read(record: Any) -> Reading:
        messages = record if isinstance(record, list) else record[field]
        extra = record if isinstance(record, dict) else {}
        system = string(extra, "system", "system_prompt", default="") or None
        return _reading(record, read_messages(messages, field, extra.get("tools"), system))

    return read


def _human_assistant(record: Any) -> Reading:
    """Rounds of {"human", "assistant"}."""
    rounds = record["conversation"]
    if not isinstance(rounds, list) or not rounds or not all(isinstance(each, dict) for each in rounds):
        raise DoesNotFitError("wrong_type", "field conversation: must be a list of {human, assistant} that is not empty")
    turns = [
        turn
        for each in rounds
        for turn in (Turn("user", string(each, "human")), Turn("assistant", string(each, "assistant")))
    ]
    return _reading(record, joined(turns, system=string(record, "system", default="") or None))


def _alternating(texts: Any, field: str) -> list[Turn]:
    if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        raise DoesNotFitError("wrong_type", f"{field}: must be a list of two or more strings, question and answer by turns")
    return [Turn("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]


def _data(record: Any) -> Reading:
    """`score`, where it is there, is the difficulty (Pang et al. 2024); sets write it as a string with line ends."""
    turns = _alternating(record["data"], "field data")
    asked = [Turn(turn.kind, NO_INPUT.sub("", turn.content) if turn.kind == "user" else turn.content) for turn in turns]
    return _reading(record, joined(asked), difficulty="score")


def _dialogue(record: Any) -> Reading:
    """Utterances by turns; blanks that were put between Chinese characters are taken out."""
    turns = _alternating(record, "a dialogue")
    return Reading(joined([Turn(turn.kind, SEPARATED.sub("", turn.content)) for turn in turns]))


def _moss(record: Any) -> Reading:
    """Sun et al. 2023: numbered turns of a human, the model's thoughts, its commands, their results, and its answer."""
    turns: list[Turn] = []
    chat = record["chat"]
    if not isinstance(chat, dict) or not chat or not all(isinstance(each, dict) for each in chat.values()):
        raise DoesNotFitError("wrong_type", "field chat: must be an object of turns that is not empty")
    for name in sorted(chat, key=lambda key: int(re.sub(r"\D", "", key) or 0)):
        said = {
            key: MOSS_MARKS.sub("", MOSS_MARKS.sub("", text)) for key, text in chat[name].items() if isinstance(text, str)
        }
        thoughts, commands = _unless_none(said.get("Inner Thoughts")), _unless_none(said.get("Commands"))
        turns.append(Turn("user", string(said, "Human")))
        answer = MOSS_SOURCES.sub("", string(said, "MOSS"))
        if commands:
            turns.append(Turn("call", (thought(thoughts) if thoughts else "") + call_text(commands)))
            turns.append(Turn("result", result_text(said.get("Tool Responses", "").strip())))
            turns.append(Turn("assistant", answer))
        else:
            turns.append(Turn("assistant", (thought(thoughts) if thoughts else "") + answer))
    return _reading(record, joined(turns, system=string(record, "meta_instruction", default="").strip() or None))


def _unless_none(text: str | None) -> str | None:
    return None if text is None or text.strip() in ("", "None") else text.strip()


def _question_answer(record: Any) -> Reading:
    """Columns of a question and an answer; a title that the question does not repeat stands before it."""
    question, title = string(record, *QUESTIONS).strip(), string(record, "title", default="").strip()
    if title and title not in question:
        question = f"{title}\n\n{question}" if question else title
    return _reading(record, joined([Turn("user", question), Turn("assistant", string(record, *ANSWERS))]))


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda record: isinstance(record, list) and bool(record) and all(isinstance(each, kind) for each in record)


def _is_rounds(record: Any) -> bool:
    rounds = record.get("conversation") if isinstance(record, dict) else None
    return isinstance(rounds, list) and any(isinstance(each, dict) and "human" in each for each in rounds)


FORMATS: tuple[Format[Reading], ...] = (
    Format("seed_tasks", has("instruction", "instances"), _seed_task),
    Format("alpaca", has("instruction", "output|response"), _alpaca),
    Format("messages", has("messages"), _listed("messages")),
    Format("sharegpt", has("conversations"), _listed("conversations")),
    Format("chat_rounds", has("chat_rounds"), _listed("chat_rounds")),
    Format("message_list", _is_list_of(dict), _listed("messages")),
    Format("human_assistant", _is_rounds, _human_assistant),
    Format("data", has("data"), _data),
    Format("dialogue", _is_list_of(str), _dialogue),
    Format("moss", has("chat"), _moss),
    Format("question_answer", has("|".join(QUESTIONS), "|".join(ANSWERS)), _question_answer),
)
"""In the order in which they are tried: of two that fit as many rows, the first."""
