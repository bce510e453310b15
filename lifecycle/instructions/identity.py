"""Answers in which the model says that it is another one, or made by others: found, and given the recipe's own identity.

Only claims in the first person count, and in system messages those in the second: an answer about ChatGPT stays as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.phrases import alternatives, holds
from lifecycle.recipe.instruction_rules import OwnIdentity

RULE = "identity"
PLACEHOLDERS = {"name": re.compile(r"\{\{\s*name\s*\}\}", re.IGNORECASE)}
PLACEHOLDERS["maker"] = re.compile(r"\{\{\s*(?:author|maker|company|organization)\s*\}\}", re.IGNORECASE)
"""Blanks that sets of identity conversations leave for whoever uses them."""
SENTENCE = re.compile(r"[^\n。！？]+")
HAN = re.compile(r"[\u4e00-\u9fff]")
AROUND = 60
"""Characters before and after a change that its sample shows."""

_KIND = (
    r"(?:an?|the|AI|A\.I\.|artificial|intelligence|based|large|language|models?|assistant|chatbot|bot|virtual|helpful|"
    r"conversational|program|called|named|known|as|created|developed|trained|built|designed|by|from|version|of|and|your|"
    r"new|system|my|name|is|just|actually|only|powered|on|with)"
)
_ENGLISH_SELF = r"(?:\bI am|\bI'm|\bI’m|\bI was|\bmy name is|\bmy name's|\bcall me|\bas an? AI|\b[Tt]his is)"
_SYSTEM_SELF = r"(?:\bYou are|\bYour name is|\bassistant whose name is|\bassistant named)"
_MADE = r"(?:created|developed|trained|made|built|designed|programmed|owned|provided|launched|powered|released)"
_CHINESE_SELF = r"(?:我是|我叫|我的名字是|我的名字叫|我名叫|我就是|作为|叫我|称呼我为|你是|你叫|您好，这里是)"
_CHINESE_KIND = (
    r"(?:一个|一款|一名|一种|名为|名叫|叫做|叫|称为|被称为|基于|基础|由|的|人工智能|AI|ai|大型|大|语言|预训练|对话|模型|智能|助手|助理|聊天|机器人|程序|"
    r"系统|训练|开发|研发|公司|团队|，|、|“|”|《|》|\s|您的|你的|虚拟|版本)"
)
_CHINESE_MADE = r"(?:开发|训练|研发|创造|创建|设计|制造|制作|推出|打造|提供|发布|构建|研制)"


@dataclass(frozen=True)
class Claim:
    """A name or a maker that a message claims: where it stands in the message, and which of both it is."""

    start: int
    end: int
    what: str


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Expressions whose group `claimed` is a name or a maker."""
    name, maker = (f"(?P<claimed>{alternatives(each)})" for each in ("models", "makers"))
    other = alternatives("makers", "models")
    own = f"(?:{_ENGLISH_SELF}|{_SYSTEM_SELF})"
    expressions = (
        ("name", rf"{own},?(?:[\s,\"'“]+(?:{_KIND}|{other}))*[\s,\"'“]+{name}"),
        ("name", rf"\bas\s+{name},?\s+I\b"),
        (
            "maker",
            rf"{own}(?:\s+\w+|[\s,\"“”()-]|{other}){{0,14}}?\s*{_MADE}(?:\s+and\s+\w+)?\s+by\s+(?:\w+\s+){{0,4}}?{maker}",
        ),
        (
            "maker",
            rf"\b[Mm]y\s+(?:creators?|developers?|makers?|company|team|owner)s?\s+(?:is|are|at)\s+(?:\w+\s+){{0,3}}?{maker}",
        ),
        ("maker", rf"{maker}(?:\s+has)?\s+{_MADE}\s+me\b"),
        ("maker", rf"{own}(?:\s+{_KIND})*\s+(?:from|of|by)\s+{maker}"),
        ("maker", rf"\b(?:against|violates?|violating)\s+{maker}['’]s\s+[^.\n]{{0,20}}?polic(?:y|ies)"),
        ("name", rf"{_CHINESE_SELF}(?:{_CHINESE_KIND}|{other})*?{name}"),
        (
            "maker",
            rf"(?:我|你)(?:是|们|的|叫|被|[^。！？!?\n我你]){{0,40}}?(?:由|被|来自|是)\s*{maker}[^。！？!?\n]{{0,12}}?{_CHINESE_MADE}",
        ),
        ("maker", rf"{maker}(?:公司|团队)?(?:所)?{_CHINESE_MADE}(?:了|的)?我"),
        ("maker", rf"我的(?:开发者|创造者|开发团队|研发团队|制造商|开发公司|创始人)(?:是|为|来自)\s*{maker}"),
        ("maker", rf"我[^。！？\n]{{0,20}}?(?:受到|接受)(?:了)?\s*{maker}\s*的(?:培训|训练)"),
        ("maker", rf"(?:违反|违背|不符合)(?:了)?\s*{maker}\s*的[^。！？\n]{{0,8}}?(?:政策|规定)"),
        ("maker", rf"{_CHINESE_SELF}(?:{_CHINESE_KIND})*?{maker}(?:公司|团队|的|旗下)?{_CHINESE_MADE}"),
    )
    return tuple((what, re.compile(expression, re.IGNORECASE)) for what, expression in expressions)


def claims(text: str) -> list[Claim]:
    """Every claim in a message, in order of place; none of them overlaps another."""
    found = []
    for piece in SENTENCE.finditer(text):
        if "{{" in piece.group():
            found += _claims(text, piece, PLACEHOLDERS.items())
        if holds(piece.group(), "models", "makers"):
            found += _claims(text, piece, _patterns())
    found.sort(key=lambda claim: (claim.start, -claim.end))
    kept: list[Claim] = []
    for claim in found:
        if not kept or claim.start >= kept[-1].end:
            kept.append(claim)
    return kept


def _claims(text: str, piece: re.Match[str], patterns: Iterable[tuple[str, re.Pattern[str]]]) -> list[Claim]:
    """Claims in one sentence; an expression without a group `claimed` is one as a whole."""
    return [
        Claim(*match.span("claimed" if pattern.groups else 0), what)
        for what, pattern in patterns
        for match in pattern.finditer(text, *piece.span())
    ]


def claimed(conversation: Conversation) -> list[str]:
    """The foreign names and makers that a conversation's answers or system message claim, as they are written there."""
    return [
        message.content[claim.start : claim.end]
        for message in conversation.messages
        if message.role != "user"
        for claim in claims(message.content)
    ]


def with_own_identity(conversation: Conversation, own: OwnIdentity) -> Conversation:
    """The conversation with every claim replaced, and in answers and system message every mention of what was claimed."""
    others = set(foreign(conversation, own))
    meant = {
        name: claim.what
        for message in conversation.messages
        if message.role != "user"
        for claim in claims(message.content)
        if (name := message.content[claim.start : claim.end]) in others
    }
    messages = []
    for message in conversation.messages:
        content = message.content if message.role == "user" else _rewritten(message.content, meant, own)
        messages.append(Message(role=message.role, content=_filled(content, own)))
    return conversation.model_copy(update={"messages": tuple(messages)})


def foreign(conversation: Conversation, own: OwnIdentity | None) -> list[str]:
    """What a conversation claims that is not the recipe's own."""
    mine = {each.lower() for language in ("en", "zh") for each in own.in_language(language)} if own else set()
    return [name for name in claimed(conversation) if name.lower() not in mine]


def asks_for(conversation: Conversation, names: list[str]) -> bool:
    """Whether a user's message holds one of these names: "Are you ChatGPT?" would be answered with another name."""
    asked = " ".join(message.content for message in conversation.messages if message.role == "user").lower()
    return any(name.lower() in asked for name in names if not _is_placeholder(name))


def _rewritten(text: str, meant: dict[str, str], own: OwnIdentity) -> str:
    for name in sorted(meant, key=len, reverse=True):
        if not _is_placeholder(name):
            text = _mentions(name).sub(lambda match, what=meant[name]: _own(match, what, own), text)
    for pattern in _own_makers(own.in_language("en")[0], own.in_language("zh")[0]):
        text = pattern.sub(
            lambda match: match.group()[: match.start("claimed") - match.start()] + _own(match, "maker", own), text
        )
    return text


@cache
def _own_makers(*names: str) -> tuple[re.Pattern[str], ...]:
    """What is said of the maker of the model under its new name, in the third person."""
    either, maker = "|".join(map(re.escape, names)), f"(?P<claimed>{alternatives('makers')})"
    return (
        re.compile(rf"(?:{either})\b[^.\n]{{0,80}}?{_MADE}\s+by\s+(?:the\s+)?{maker}", re.IGNORECASE),
        re.compile(rf"(?:{either})[^。\n]{{0,40}}?由\s*{maker}"),
    )


@cache
def _mentions(name: str) -> re.Pattern[str]:
    """A name where it is a word of its own."""
    left, right = (r"(?<![A-Za-z0-9])" if name[0].isascii() else ""), (r"(?![A-Za-z0-9])" if name[-1].isascii() else "")
    return re.compile(left + re.escape(name) + right)


def _filled(text: str, own: OwnIdentity) -> str:
    for what, pattern in PLACEHOLDERS.items():
        text = pattern.sub(lambda match, what=what: _own(match, what, own), text)
    return text


def _own(match: re.Match[str], what: str, own: OwnIdentity) -> str:
    """The own name or maker, in the language of the text around."""
    text = match.string
    around = text[max(0, match.start() - 20) : match.start()] + text[match.end() : match.end() + 20]
    name, maker = own.in_language("zh" if HAN.search(around) else "en")
    return name if what == "name" else maker


def _is_placeholder(name: str) -> bool:
    return name.startswith("{{")


def difference(before: str, after: str) -> tuple[str, str]:
    """Both texts around the first place in which they differ."""
    same = next((place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, same - AROUND)
    return before[start : same + 3 * AROUND], after[start : same + 3 * AROUND]
