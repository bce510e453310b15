"""Claims to be another model: found in both languages, rewritten, and never seen where somebody only speaks of one."""

import pytest

from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.identity import claims, foreign, with_own_identity
from lifecycle.instructions.own_identity import own_identity_conversations
from lifecycle.recipe.alignment import OwnIdentityConversations
from lifecycle.recipe.instruction_rules import OwnIdentity

OWN = OwnIdentity(name="Lumen", maker="Acme", name_zh="小流", maker_zh="流光公司")


def _answered(answer: str, system: str | None = None) -> Conversation:
    messages = [Message(role="system", content=system)] if system else []
    messages += [Message(role="user", content="Hello"), Message(role="assistant", content=answer)]
    return Conversation(id="i", source="s", task="t", group="g", messages=tuple(messages), document_id="d")


@pytest.mark.parametrize(
    ("answer", "rewritten"),
    [
        ("I am GPT-4.", "I am Lumen."),
        (
            "Hi! I’m ChatGPT, a large language model trained by OpenAI.",
            "Hi! I’m Lumen, a large language model trained by Acme.",
        ),
        ("My name is MOSS and I was developed by Fudan University.", "My name is Lumen and I was developed by Acme."),
        (
            "As an AI language model created by OpenAI, I cannot eat.",
            "As an AI language model created by Acme, I cannot eat.",
        ),
        ("As ChatGPT, I do not know.", "As Lumen, I do not know."),
        (
            "I was made by Anthropic. Claude is what I'm called; I am Claude.",
            "I was made by Acme. Lumen is what I'm called; I am Lumen.",
        ),
        ("我是ChatGPT，由OpenAI开发。", "我是小流，由流光公司开发。"),
        ("您好，我是由复旦大学训练的人工智能助手MOSS。", "您好，我是由流光公司训练的人工智能助手小流。"),
        ("作为一个由OpenAI训练的语言模型，我没有情感。", "作为一个由流光公司训练的语言模型，我没有情感。"),
        ("我叫文心一言，是百度研发的。", "我叫小流，是流光公司研发的。"),
        ("I am {{name}}, by {{author}}.", "I am Lumen, by Acme."),
        ("我是{{name}}，由{{author}}开发。", "我是小流，由流光公司开发。"),
    ],
)
def test_a_claim_is_rewritten_and_none_is_left(answer: str, rewritten: str):
    after = with_own_identity(_answered(answer), OWN)
    assert after.messages[-1].content == rewritten
    assert foreign(_answered(answer), OWN)
    assert not foreign(after, OWN)
    assert with_own_identity(after, OWN) == after


@pytest.mark.parametrize(
    "text",
    [
        "ChatGPT is a chatbot that was developed by OpenAI.",
        "GPT-3 是 OpenAI 于2020年发布的模型。",
        "I like the Alpaca farm near Stanford.",
        "I am a fan of Google Maps and use it daily.",
        "You can call the OpenAI API with requests.",
        "复旦大学附属医院建议复诊。",
        "我是一名在微软工作的工程师。",
        "No, I am Lumen, made by Acme.",
    ],
)
def test_speaking_of_a_model_or_a_company_is_no_claim(text: str):
    assert claims(text) == []


def test_the_system_message_of_another_model_is_rewritten_whole():
    system = "You are an AI assistant whose name is MOSS.\n- MOSS is a model that is developed by Fudan University."
    after = with_own_identity(_answered("Fine.", system), OWN)
    assert after.messages[0].content == (
        "You are an AI assistant whose name is Lumen.\n- Lumen is a model that is developed by Acme."
    )


def test_conversations_about_itself_name_the_recipes_model_and_nobody_else():
    config = OwnIdentityConversations(kind="own_identity", max_conversations=150)
    conversations, ledger = own_identity_conversations(config, OWN)
    assert len(conversations) == ledger.kept == 150
    assert ledger.read == 150 + ledger.dropped["enough"]
    assert len({conversation.id for conversation in conversations}) == 150
    for conversation in conversations:
        name, maker = OWN.in_language(conversation.language or "")
        answers = [message.content for message in conversation.messages if message.role == "assistant"]
        assert all(name in answer or maker in answer for answer in answers)
        assert not foreign(conversation, OWN)
        assert "{" not in conversation.text()
    assert {conversation.language for conversation in conversations} == {"en", "zh"}
    assert max(len(conversation.messages) for conversation in conversations) == 4
    assert conversations == own_identity_conversations(config, OWN)[0]
