"""Personal data: what becomes a placeholder, and what must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.pii import RULES, URL, _compiled, personal_data
from lifecycle.curation.pii_checks import url_end

KINDS = tuple(RULES)


def masked(text: str) -> str:
    return [text, *(after for _, after in personal_data(text, KINDS))][-1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("写信给zhang.san+x@mail.tsinghua.edu.cn，谢谢", "写信给<EMAIL>，谢谢"),
        ("mail <Jane_Doe@corp.co.uk>, please", "mail <EMAIL>, please"),
        ("联系电话：13812345678，找李先生", "联系电话：<PHONE>，找李先生"),
        ("手机 +86 138 1234 5678。", "手机 <PHONE>。"),
        ("138-1234-5678（微信同号）", "<PHONE>（微信同号）"),
        ("Tel:13812345678/13912345678", "Tel:<PHONE>/<PHONE>"),
        ("致电010-62345678或(0571)87654321咨询", "致电<PHONE>或<PHONE>咨询"),
        ("Call (212) 555-0147 or 212-555-0147 today", "Call <PHONE> or <PHONE> today"),
        ("London: +44 20 7946 0958.", "London: <PHONE>."),
        ("身份证11010519491231002X办理", "身份证<ID_CARD>办理"),
        ("卡号：4111 1111 1111 1111。", "卡号：<BANK_CARD>。"),
        ("my visa 4111111111111111 expired", "my visa <BANK_CARD> expired"),
        ("登录IP：220.181.38.148:8080", "登录IP：<IP>:8080"),
        ("from 2408:8000:1010:1::6 on", "from <IP> on"),
        ("统一社会信用代码：91350100M000100Y43。", "统一社会信用代码：<CREDIT_CODE>。"),
        ("微信号：abc_12345，QQ：123456789", "微信号：<CONTACT_ID>，QQ：<CONTACT_ID>"),
        ("QQ群12345678 or WeChat ID: zhang2020", "QQ群<CONTACT_ID> or WeChat ID: <CONTACT_ID>"),
        ("//@张三:好的 回复@李四_2：谢谢", "//<HANDLE>:好的 回复<HANDLE>：谢谢"),
        ("RT @some_one: hello (via @other)", "RT <HANDLE>: hello (via <HANDLE>)"),
        ("微博：@人民日报，Twitter: @jack", "微博：<HANDLE>，Twitter: <HANDLE>"),
    ],
)
def test_found(before: str, after: str) -> None:
    assert masked(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "订单号13812345678已发货",  # the seed took every eleven digits for a phone
        "order 13812345678 shipped, total 18600000000 rows",
        "https://item.example.cn/i.htm?id=13812345678&tel=13912345678 电话咨询",
        "身份证110105194912310021",  # wrong check character
        "编号11010519491331002X",  # thirteenth month
        "卡号4111 1111 1111 1112",  # Luhn fails
        "timestamp 4111111111111111 ns",  # Luhn holds, nothing says card
        "hash 62ab6222021234567890123cd",
        "version 10.15.7.3, 127.0.0.1, 192.168.1.20 and 第2.4.7.11节",
        "std::vector<a::b>, 12:30:45, ::1, 2001::",
        "git@github.com:owner/name and user@example.com, @decorator, x@y",
        "2021-01-13 10:48:24.022054, 1,234,567,890 and 3.14159265358979",
        "| 1381 | 2345 | 6789 |\n1 138 1234 5678 9",
        "ISBN 978-7-111-12345-6，邮编100084，QQ 2013版，QQ音乐",
        "微信是一种软件，微信号：abcdef，WeChat: announcing, wechat developer_tools",
        "登记号91350100M000100Y44，编号913501000001000444",  # wrong check character; no letter, no word for it
        "@property, @media (max-width: 3px), @张三 说，x = 1 //@ts-ignore it",
    ],
)
def test_not_found(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("访问https://a.cn/路径查看", "https://a.cn/"),
        ("见https://a.cn/x?y=1，然后", "https://a.cn/x?y=1"),
        ("see https://a.org/b. Then read on", "https://a.org/b"),
        ("(see http://a.org/b_(c)) and on", "http://a.org/b_(c)"),
        ("[x](http://a.org/b) 后文", "http://a.org/b"),
    ],
)
def test_a_url_ends_where_it_ends(text: str, url: str) -> None:
    """A pattern of the seed's went on into the English text behind the URL."""
    data = text.encode()
    match = _compiled(URL).search(data)
    assert match is not None
    begin, end = match.span()
    assert data[begin : url_end(data, begin, end)].decode() == url


def test_each_kind_is_a_rule_of_its_own_and_only_the_kinds_asked_for() -> None:
    text = "电话：13812345678，邮箱 a.b@mail.cn"
    assert [rule for rule, _ in personal_data(text, KINDS)] == ["pii_email", "pii_phone"]
    assert [rule for rule, _ in personal_data(text, ("phone",))] == ["pii_phone"]


PARTS = [
    "13812345678",
    "电话",
    " ",
    "-",
    "@",
    "a.cn",
    "86",
    "+",
    "4111 1111 1111 1111",
    "https://",
    "1.2.3.4",
    "（",
    "\n",
    "x",
]


@given(st.lists(st.sampled_from(PARTS)).map("".join) | st.text())
def test_once_is_enough_and_no_text_is_refused(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@given(st.text(st.characters(exclude_characters="@:", exclude_categories=["Nd"])))
def test_text_without_digits_and_at_signs_stays(text: str) -> None:
    assert list(personal_data(text, KINDS)) == []
