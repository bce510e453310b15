"""Messages of every dialect (OpenAI, ShareGPT, chat rounds) as system, user and assistant turns.

Tools are text inside these three roles, in the form that Qwen2.5's and Hermes' templates write: the functions in the system
message between <tools> tags, a call in the assistant's turn between <tool_call> tags, its result in a user turn between
<tool_response> tags, reasoning before an answer between <think> tags. So every chat template renders them, and a call is
trained as any answer is.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from lifecycle.instructions.conversations import Message
from lifecycle.instructions.records import DoesNotFitError

Kind = Literal["system", "user", "assistant", "call", "result"]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response"), "result"),
}
TEXT_PARTS = ("text", "output_text", "input_text")
TOOLS_OPEN = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>"""
TOOLS_CLOSE = """</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


@dataclass(frozen=True)
class Turn:
    """One message before turns about tools are joined with their neighbours."""

    kind: Kind
    content: str


def read_messages(value: Any, field: str, tools: Any = None, system: str | None = None) -> tuple[Message, ...]:
    """The turns of a list of {role, content} or {from, value}, tools written out; white space around contents stays.

    Raises:
        DoesNotFitError: not such a list; the message names `field` and the place in it.
    """
    if not isinstance(value, list) or not value:
        raise DoesNotFitError("wrong_type", f"field {field}: must be a list of messages that is not empty")
    turns = [turn for index, message in enumerate(value) for turn in _turns(message, f"{field}[{index}]")]
    return joined(turns, tools, system)


def joined(turns: Sequence[Turn], tools: Any = None, system: str | None = None) -> tuple[Message, ...]:
    """Turns as messages: calls belong to the assistant and join what it says beside them, results come from the user."""
    messages: list[Message] = []
    before: Turn | None = None
    for turn in turns:
        role = {"call": "assistant", "result": "user"}.get(turn.kind, turn.kind)
        together = before and (before.kind, turn.kind) in (
            ("call", "call"),
            ("assistant", "call"),
            ("call", "assistant"),
            ("result", "result"),
        )
        if together:
            said = messages.pop().content
            content = said + ("" if said.endswith("\n") else "\n") + turn.content
        else:
            content = turn.content
        messages.append(Message(role=role, content=content))  # type: ignore[arg-type]
        before = turn
    about = tools_text(tools)
    opening = [part for part in (system, about) if part]
    if opening and messages and messages[0].role == "system":
        opening = [messages.pop(0).content, *opening]
    if opening:
        messages.insert(0, Message(role="system", content="\n\n".join(opening)))
    return tuple(messages)


def tools_text(tools: Any) -> str:
    """The functions that a conversation may call, for its system message; empty where there are none.

    Args:
        tools: a list of functions, or its JSON; anything else that is not empty is taken as the text of a list.
    """
    if isinstance(tools, str):
        tools = _json_or_text(tools.strip())
    if not tools:
        return ""
    listed = tools if isinstance(tools, list) else [tools]
    return "\n".join([TOOLS_OPEN, *(each if isinstance(each, str) else _dumped(each) for each in listed), TOOLS_CLOSE])


def call_text(call: Any) -> str:
    """One call of a function, as {"name", "arguments"} where its parts are known, else its text."""
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    if isinstance(call, dict) and "arguments" in call:
        arguments = call["arguments"]
        call = {"name": call.get("name"), "arguments": _json_or_text(arguments) if isinstance(arguments, str) else arguments}
    return f"<tool_call>\n{call if isinstance(call, str) else _dumped(call)}\n</tool_call>"


def result_text(content: str) -> str:
    """What a function gave back."""
    return f"<tool_response>\n{content}\n</tool_response>"


def thought(text: str) -> str:
    """Reasoning before an answer."""
    return f"<think>\n{text.strip()}\n</think>\n\n"


def _turns(message: Any, field: str) -> Iterable[Turn]:
    if not isinstance(message, dict):
        raise DoesNotFitError("wrong_type", f"field {field}: a message is an object, this is {type(message).__name__}")
    role = message.get("role", message.get("from"))
    kind = KINDS.get(role) if isinstance(role, str) else None
    if kind is None:
        raise DoesNotFitError("unknown_role", f"field {field}: role {role!r} is none of {', '.join(KINDS)}")
    content = next((message[key] for key in ("content", "value", "text") if key in message), None)
    calls = [*(message.get("tool_calls") or ()), *filter(None, [message.get("function_call")])]
    if content is None and not calls:
        raise DoesNotFitError("missing_field", f"field {field}.content: must be a string or a list of parts")
    reasoning = message.get("reasoning_content")
    parts = [("reasoning", reasoning)] if isinstance(reasoning, str) and reasoning else []
    parts += _parts(content, field)
    text = "".join(thought(part) if name == "reasoning" else part for name, part in parts if name != "tool_call")
    calls += [_json_or_text(part) for name, part in parts if name == "tool_call"]
    if kind == "call":
        listed = _json_or_text(text)
        yield Turn("call", "\n".join(map(call_text, listed if isinstance(listed, list) else [listed])))
        return
    if kind == "result":
        yield Turn("result", result_text(text))
        return
    if text or not calls:
        yield Turn(kind, text)
    if calls:
        yield Turn("call", "\n".join(map(call_text, calls)))


def _parts(content: Any, field: str) -> list[tuple[str, str]]:
    """Kind and text of each part of a content; a plain string is one of text."""
    if content is None:
        return []
    if isinstance(content, str):
        return [("text", content)]
    if not isinstance(content, list):
        raise DoesNotFitError("wrong_type", f"field {field}.content: must be a string, is {type(content).__name__}")
    parts = []
    for part in content:
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text", part.get("value")) if isinstance(part, dict) else None
        if kind not in (*TEXT_PARTS, "reasoning", "tool_call") or not isinstance(text, str):
            raise DoesNotFitError("not_text", f"field {field}.content: a part of type {kind!r} is not text")
        parts.append(("text" if kind in TEXT_PARTS else kind, text))
    return parts


def _json_or_text(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _dumped(value: Any) -> str:

    return json.dumps(value, ensure_ascii=False)
