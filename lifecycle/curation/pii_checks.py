"""Whether a candidate is what it looks like: check digits, and what stands before and behind it. All on UTF-8 bytes."""

import ipaddress
import re

LOOK_BACK, LOOK_AHEAD = 36, 24
"""Bytes of context: a dozen Chinese characters before, eight behind."""

PHONE_CONTEXT = re.compile(
    "电话|手机|联系|致电|拨打|热线|专线|咨询|传真|微信|座机|来电|客服|(?i:\\b(?:tel|phone|mobile|cell|call|fax|hotline|whatsapp|"
    "contact|text(?: me| us)?|dial)\\b)"
)
CARD_CONTEXT = re.compile(
    "卡号|银行|账号|帐号|账户|帐户|信用卡|借记卡|汇款|(?i:\\b(?:cards?|visa|mastercard|amex|debit|credit|account)\\b)"
)
IP_CONTEXT = re.compile("(?i:\\bip\\b|\\bipv[46]\\b|\\bhost\\b|\\bserver\\b|\\baddress\\b)|地址|主机|服务器")
VERSION_CONTEXT = re.compile(
    "(?i:\\bv(?:er(?:sion)?)?\\.?|release|chrome/|[a-z]/|section|§|==|>=|<=|~=)\\s*$|版本?号?\\s*$|第\\s*$"
)

CREDIT_CONTEXT = re.compile("信用代码|税号|纳税人|组织机构|(?i:\\buscc\\b|credit code)")
CREDIT_ALPHABET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"

PROVINCES = {
    *(b"11 12 13 14 15 21 22 23 31 32 33 34 35 36 37".split()),
    *(b"41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split()),
}
ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ID_CHECK = b"10X98765432"
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
RESERVED_DOMAINS = re.compile(rb"(?i)(?:^|[@.])(?:example\.(?:com|org|net)|[^@]+\.(?:example|invalid|test|localhost))\Z")
"""Documentation writes these (RFC 2606); nobody's mail arrives there."""
BRACKETS = {b")": b"(", b"]": b"["}
END_OF_SENTENCE = (b".", b",", b";", b":", b"!", b"?", b"'", b"*", b"_", b"~")
WORD = re.compile(rb"[A-Za-z0-9_]")
JOINED = re.compile(rb"(?:[A-Za-z0-9_]|\d[.\-:=]|[A-Za-z_][\-/=])\Z")
CONTINUED = re.compile(rb"[A-Za-z0-9_]|[.\-:]\d|,\d{3}(?!\d)")
NUMBER_BEFORE, NUMBER_AFTER = re.compile(rb"\d[ \t]{1,2}\Z"), re.compile(rb"[ \t]{1,2}\d")
GROUPED = re.compile(rb"\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{5}")
MOBILE = re.compile(rb"(?:86[ \-])?1[3-9]\d{9}")
MOBILE_GROUPED = re.compile(rb"(?:86[ \-])?1[3-9]\d([ \-])\d{4}\1\d{4}")


PORT = re.compile(rb":\d{2,5}")
SECTIONS = 32
"""Four numbers below this are a section or a version; one address in 4096 is so."""


def url_end(data: bytes, begin: int, end: int) -> int:
    """Where a URL ends: not in the punctuation of the sentence around it, nor in a bracket that was opened before it."""
    extra = {close: data.count(close, begin, end) - data.count(opening, begin, end) for close, opening in BRACKETS.items()}
    while end > begin:
        last = data[end - 1 : end]
        if last not in END_OF_SENTENCE and extra.get(last, 0) <= 0:
            break
        if last in extra:
            extra[last] -= 1
        end -= 1
    return end


def is_email(data: bytes, begin: int, end: int) -> bool:
    """An address at a domain that may exist; not `user@host` of git and ssh, nor a file name in scientific packages."""
    if data[end : end + 1] in (b":", b"/") and WORD.match(data, end + 1):
        return False  # git@github.com:owner/name
    return not RESERVED_DOMAINS.search(data[begin:end])


def is_identity_card(data: bytes, begin: int, end: int) -> bool:
    """Province, date of birth and the check character of GB 11643-1999 (ISO 7064 MOD 11-2)."""
    number = data[begin:end].upper()
    if not _stands_alone(data, begin, end) or number[:2] not in PROVINCES:
        return False
    if int(number[12:14]) > DAYS[int(number[10:12]) - 1]:
        return False
    total = sum(weight * (digit - 48) for weight, digit in zip(ID_WEIGHTS, number[:17], strict=True))
    return number[17] == ID_CHECK[total % 11]


def is_bank_card(data: bytes, begin: int, end: int) -> bool:
    """Luhn's check digit, and a reason to think of a card: digits in groups, a word for it nearby, or UnionPay's 62.

    One number in ten passes Luhn's test by chance, so the test alone would take identifiers and time stamps for cards.
    """
    number = data[begin:end]
    digits = bytes(byte for byte in number if 48 <= byte <= 57)
    if not _stands_alone(data, begin, end) or not 15 <= len(digits) <= 19 or not _luhn(digits):
        return False
    if len(digits) == len(number):
        return digits.startswith(b"62") or _near(CARD_CONTEXT, data, begin, end)
    return GROUPED.fullmatch(number) is not None and not _in_table(data, begin, end)


def is_phone(data: bytes, begin: int, end: int) -> bool:
    """A number written as phones are, or beside a word for phone.

    Digits alone are a phone only beside such a word; `138-1234-5678`, `010-62345678`, `(212) 555-0147` and
    `+44 20 7946 0958` speak for themselves.
    """
    if not _stands_alone(data, begin, end):
        return False
    number = data[begin:end]
    digits = sum(48 <= byte <= 57 for byte in number)
    if number.startswith((b"+", b"00")):
        if not 9 <= digits <= 16:
            return False
        plain = digits + 1 >= len(number)
        return (number.startswith(b"+") and not plain) or _of_country(number) or _near(PHONE_CONTEXT, data, begin, end)
    if _near(PHONE_CONTEXT, data, begin, end):
        return True
    if MOBILE.fullmatch(number):
        return number.startswith(b"86")
    if MOBILE_GROUPED.fullmatch(number):
        return not _in_table(data, begin, end)
    return (b"-" in number or number.startswith(b"(")) and b"." not in number and not _in_table(data, begin, end)


def is_ip(data: bytes, begin: int, end: int) -> bool:
    """A public address (of documentation, loopback and private networks there is nothing to hide), not a version number."""
    port = PORT.match(data, end)
    if not _stands_alone(data, begin, port.end() if port else end):
        return False
    number = data[begin:end].rstrip(b":").decode()
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    before = _text(data[max(0, begin - LOOK_BACK) : begin])
    if address.version == 6 or IP_CONTEXT.search(before):
        return True
    small = all(int(part) < SECTIONS for part in number.split("."))
    return not small and not VERSION_CONTEXT.search(before)


def is_credit_code(data: bytes, begin: int, end: int) -> bool:
    """Place and check character of GB 32100-2015, and a letter in it or a word for such codes nearby.

    One number in thirty-one has the right check character by chance.
    """
    code = data[begin:end]
    if not _stands_alone(data, begin, end) or code[2:4] not in PROVINCES | {b"10"}:
        return False
    total = sum(CREDIT_ALPHABET.index(byte) * pow(3, place, 31) for place, byte in enumerate(code[:17]))
    if CREDIT_ALPHABET[-total % 31] != code[17]:
        return False
    return not code.isdigit() or _near(CREDIT_CONTEXT, data, begin, end)


def is_contact_id(data: bytes, begin: int, end: int) -> bool:
    """With a digit or an underscore in it: behind `WeChat:` a word stands as often as a name."""
    whole = not WORD.match(data, end) and not CONTINUED.match(data, end)
    return whole and re.search(rb"[0-9_]", data[begin:end]) is not None


def is_handle(data: bytes, begin: int, end: int) -> bool:
    """What stands around it has been checked by the pattern."""
    return end - begin > 2


def _of_country(number: bytes) -> bool:
    """A whole Chinese mobile or North American number behind its country code: enough without separators."""
    digits = bytes(byte for byte in number if 48 <= byte <= 57).removeprefix(b"00")
    return re.fullmatch(rb"861[3-9]\d{9}|1[2-9]\d{2}[2-9]\d{6}", digits) is not None


def _stands_alone(data: bytes, begin: int, end: int) -> bool:
    """Not a part of a longer number, word, path or decimal."""
    return not JOINED.search(data[max(0, begin - 2) : begin]) and not CONTINUED.match(data, end)


def _in_table(data: bytes, begin: int, end: int) -> bool:
    """Another number beside it on the line: a column of figures, not a phone in groups."""
    return bool(NUMBER_BEFORE.search(data[max(0, begin - 3) : begin]) or NUMBER_AFTER.match(data, end))


def _near(words: re.Pattern[str], data: bytes, begin: int, end: int) -> bool:
    before, after = data[max(0, begin - LOOK_BACK) : begin], data[end : end + LOOK_AHEAD]
    return bool(words.search(_text(before).rpartition("\n")[2]) or words.search(_text(after).partition("\n")[0]))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "ignore")


def _luhn(digits: bytes) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = (digit - 48) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
