"""Personal data becomes typed placeholders: e-mail, phones, identity-card and bank-card numbers, IP addresses.

RE2 finds candidates in linear time; a check on the digits and on what stands around them decides. A number without such
evidence stays: eleven digits are an order number as often as a phone.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache

import re2

from lifecycle.curation.pii_checks import (
    is_bank_card,
    is_contact_id,
    is_credit_code,
    is_email,
    is_handle,
    is_identity_card,
    is_ip,
    is_phone,
    url_end,
)
from lifecycle.recipe.curation import PiiKind

Check = Callable[[bytes, int, int], bool]

URL = rb"(?i:https?|ftp)://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+"
"""The characters of RFC 3986: Chinese text, white space and quotes end a URL."""
EMAIL = rb"[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}"
IDENTITY_CARD = rb"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]"
BANK_CARD = rb"[2-6]\d{3}(?:[ -]?\d{4}){3}(?:[ -]?\d{1,3})?|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}"
PHONE = (
    rb"(?:\+|00)[1-9]\d{0,2}[ \-.]?(?:\(\d{1,4}\)[ \-.]?)?\d{1,5}(?:[ \-.]?\d{2,5}){1,4}"  # international
    rb"|(?:86[ \-])?1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}"  # Chinese mobile
    rb"|(?:\(0\d{2,3}\)|0\d{2,3}[ \-]?)[2-9]\d{6,7}"  # Chinese fixed line
    rb"|[48]00[ \-]?\d{3}[ \-]?\d{4}|[48]00[ \-]?\d{4}[ \-]?\d{3}"  # Chinese service numbers
    rb"|(?:1[ \-.])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ \-.])[2-9]\d{2}[ \-.]\d{4}"  # United States and Canada
)
IP = rb"\d{1,3}(?:\.\d{1,3}){3}|[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}"

CREDIT_CODE = rb"[1-9A-HJ-NPQRTUWXY][1-9A-HJ-NPQRTUWXY]\d{6}[0-9A-HJ-NPQRTUWXY]{10}"
COLON = "(?::|：|是|为)".encode()
CONTACT_ID = (
    "(?i:微信|威信|薇信|wechat|weixin|\\bvx|v信)(?:(?:公众)?(?:号|群|\\s?(?i:id))\\s*".encode()
    + COLON
    + rb"?|\s*"
    + COLON
    + rb")\s*([A-Za-z][A-Za-z0-9_\-]{5,19})"
    + "|(?i:\\bqq)(?:号码|号|群号|群)?\\s*".encode()
    + COLON
    + rb"?\s*([1-9]\d{4,10})"
)
NAME = rb"@(?:[A-Za-z0-9_\-]|[\xe4-\xe9][\x80-\xbf]{2}){2,30}"
"""Letters, digits and Han; in the byte-wise patterns here a Han character is three bytes."""
ACCOUNT = "回复|转发|\\brt |\\bvia |(?:\\btwitter|\\binstagram|\\bweibo|微博|推特|抖音|小红书)\\s*(?::|：)?\\s*".encode()
HANDLE = (
    rb"//("
    + NAME
    + ")(?::|：)".encode()  # a chain of answers; `//@ts-ignore` is a comment
    + rb"|(?i:"
    + ACCOUNT
    + rb")("
    + NAME
    + ")(?:[\\s:,.)!?]|：|，|。|）|！|\\z)".encode()
)

RULES: dict[PiiKind, tuple[bytes, Check, bytes]] = {
    "email": (EMAIL, is_email, b"<EMAIL>"),
    "id_card": (IDENTITY_CARD, is_identity_card, b"<ID_CARD>"),
    "bank_card": (BANK_CARD, is_bank_card, b"<BANK_CARD>"),
    "phone": (PHONE, is_phone, b"<PHONE>"),
    "ip": (IP, is_ip, b"<IP>"),
    "credit_code": (CREDIT_CODE, is_credit_code, b"<CREDIT_CODE>"),
    "contact_id": (CONTACT_ID, is_contact_id, b"<CONTACT_ID>"),
    "handle": (HANDLE, is_handle, b"<HANDLE>"),
}
"""By kind: pattern of candidates (the group that matched, where it has groups), check, placeholder. They run in this order,
the more certain first."""


ROUNDS = 8
"""What stands beside a placeholder is judged once more (a number in a list of phones is one); a bound on the time."""


@cache
def _compiled(pattern: bytes) -> "re2._Regexp":
    options = re2.Options()
    options.encoding = (
        re2.Options.Encoding.LATIN1
    )  # the patterns are of ASCII: half of RE2's table, and any byte may stand by
    return re2.compile(pattern, options)


def personal_data(text: str, kinds: tuple[PiiKind, ...]) -> Iterator[tuple[str, str]]:
    """Every kind that was found, once, as (rule, text with placeholders); the rule is `pii_<kind>`. URLs stay whole."""
    changes: dict[str, bytes] = {}
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(ROUNDS):
        before = data
        for kind, (pattern, check, placeholder) in RULES.items():
            if kind in kinds and (kind not in ("email", "handle") or b"@" in data):
                after = _masked(data, pattern, check, placeholder)
                if after is not None:
                    changes.setdefault(f"pii_{kind}", after)
                    data = after
        if data == before:
            break
    for number, (rule, after) in enumerate(changes.items(), 1):
        yield rule, (data if number == len(changes) else after).decode("utf-8", "surrogatepass")


def _masked(data: bytes, pattern: bytes, check: Check, placeholder: bytes) -> bytes | None:
    found: list[tuple[int, int]] = []
    for match in _compiled(pattern).finditer(data):
        begin, end = match.span(match.lastindex or 0)
        if check(data, begin, end):
            angled = (
                data[begin - 1 : begin] == b"<" and data[end : end + 1] == b">"
            )  # <a@b.org>: one pair of brackets is enough
            found.append((begin - 1, end + 1) if angled else (begin, end))
    if found and b"://" in data:
        urls = _urls(data)
        begins = [begin for begin, _ in urls]
        found = [span for span in found if not _within(span, urls, begins)]
    if not found:
        return None
    parts, done = [], 0
    for begin, end in found:
        parts += [data[done:begin], placeholder]
        done = end
    return b"".join([*parts, data[done:]])


def _within(span: tuple[int, int], urls: list[tuple[int, int]], begins: list[int]) -> bool:
    last = bisect_right(begins, span[0]) - 1
    return last >= 0 and span[0] < urls[last][1]


def _urls(data: bytes) -> list[tuple[int, int]]:
    spans = (match.span() for match in _compiled(URL).finditer(data))
    return [(begin, url_end(data, begin, end)) for begin, end in spans]
