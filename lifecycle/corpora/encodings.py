"""In which encoding a text file is written, decided from its bytes and its source's language."""

import codecs
import re
from functools import cache

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE = ("utf-16-le", "utf-16-be")
EAST_ASIAN = ("gb18030", "big5", "big5hkscs", "cp932", "euc_jp", "cp949")
EAST_ASIAN_LANGUAGES = ("zh", "ja", "ko")
MULTIBYTE = ("big5", "gb", "hz", "cp932", "cp949", "cp950", "euc", "shift_jis", "johab", "iso2022")
CENTRAL_EUROPEAN = {"cs", "hr", "hu", "pl", "ro", "sk", "sl"}

SAMPLE_BYTES = 64_000
MIN_COMMON_SHARE = 0.25
"""Running text in the right encoding shows 0.5 to 0.8 common characters, in a wrong one below 0.1."""
MIN_COMMON_PER_BYTE = 1 / 2000
"""Common characters without which a file of a source in another language is not East Asian."""
MAX_DAMAGED_SHARE = 0.1
"""Broken bytes per sound non-ASCII character up to which a file is damaged UTF-8 rather than another encoding."""

COMMON_HAN = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性"
    "知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次"
    "度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活更别打女变四神总何电数安少报才结反受目太量再感建务"
    "做接必场件计管期市直德资命山金指许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南"
    "品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识带导争运"
)
TRADITIONAL_HAN = (
    "這個們來爲國說時會對於過發後裏種經麼學現當沒動還進樣開從實軍無與長機關點業將兩間問並應戰頭體見產話內給門兒東聲員論處義幾"
    "認條氣題別變總電數報結務場計資許統區隊決馬書則聽卻達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導爭運"
)
"""Those of them that are written otherwise in traditional script, as OpenCC (s2t) writes them; loading it takes longer."""
COMMON_JAPANESE = "のにはをたがでてとしれさいるもなからこよあっうまりくすけだんそ日本人大年会国"
COMMON_KOREAN = "이다는의에을를가은한고지하도로기사서인대시자리어나부정수보일만해과라상제면들조주전그"
PUNCTUATION = "，。、；：？！（）“”‘’《》—…「」 "
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
NOT_ASCII_RUNS = re.compile(r"[^\x00-\x7f]{2,}")
ESCAPED = re.compile("[\udc80-\udcff]")
"""What a byte that does not decode becomes (Python's `surrogateescape`)."""


@cache
def _common() -> frozenset[str]:
    return frozenset(COMMON_HAN + TRADITIONAL_HAN + COMMON_JAPANESE + COMMON_KOREAN + PUNCTUATION)


def decode(data: bytes, language: str) -> tuple[str, str] | None:
    """The text of a file and the name of its encoding, or None where the bytes are no text in any known encoding.

    In order: a byte order mark; UTF-8 where every byte is valid, or nearly every; UTF-16 without a mark and the East Asian
    encodings (GB18030, Big5, Shift_JIS, EUC-JP, EUC-KR) where common characters of these languages show; else what
    charset-normalizer finds, with Windows-1252 for what is written in a Western script. Bytes that do not decode become
    lone surrogates, which `ESCAPED` finds.
    """
    encoding = detect_encoding(data, language)
    if encoding is None:
        return None
    try:
        return data.decode(encoding, "strict" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"), encoding
    except UnicodeDecodeError:
        return None


def detect_encoding(data: bytes, language: str) -> str | None:
    """The name of the encoding that `decode` uses."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    wide = b"\0" in data
    if not wide and _is_utf8(data):
        return "utf-8"
    sample = data[:SAMPLE_BYTES]
    least = 0 if language in EAST_ASIAN_LANGUAGES else len(sample) * MIN_COMMON_PER_BYTE
    shares = {encoding: _common_share(sample, encoding, least) for encoding in (*WIDE, *EAST_ASIAN)}
    best = max(shares, key=lambda encoding: shares[encoding])
    if shares[best] >= MIN_COMMON_SHARE:
        return best
    if wide:
        return _wide_latin(sample) or ("utf-8" if _is_utf8(data) else None)
    return _single_byte(data, sample, language)


def _is_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "surrogateescape")
    if text.isascii():
        return True
    broken = len(ESCAPED.findall(text))
    return broken == 0 or broken <= MAX_DAMAGED_SHARE * (len(NOT_ASCII.findall(text)) - broken)


def _common_share(sample: bytes, encoding: str, least: float) -> float:
    """Share of common characters of East Asian languages among those outside ASCII; broken bytes count as uncommon.

    So do characters by themselves between ASCII: a Western quotation mark and the letter after it are one Big5 character.
    Fewer than `least` common characters are none.
    """
    if encoding in WIDE:
        text = sample[: len(sample) // 2 * 2].decode(encoding, "replace")
    else:
        text = sample.decode(encoding, "surrogateescape")
    found = NOT_ASCII.findall(text)
    common = sum(character in _common() for run in NOT_ASCII_RUNS.findall(text) for character in run)
    return common / len(found) if common > least else 0.0


def _wide_latin(sample: bytes) -> str | None:
    """UTF-16 without a mark, of a script whose characters have a zero byte: which half of each pair is zero tells."""
    pairs = max(1, len(sample) // 2)
    low, high = sample[0::2].count(0) / pairs, sample[1::2].count(0) / pairs
    if max(low, high) < 0.5 or min(low, high) > 0.1:
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _single_byte(data: bytes, sample: bytes, language: str) -> str | None:
    from charset_normalizer import from_bytes  # few sources come here, and every process of curation would import it

    best = from_bytes(sample).best()
    found = best.encoding if best else None
    if found and found.startswith(MULTIBYTE) and language not in EAST_ASIAN_LANGUAGES:
        found = None  # one odd pair of bytes is enough for it, and was not enough for `detect_encoding`
    if found and not _is_latin(sample.decode(found, "replace")):
        return found if _decodes(data, found) else None
    if any(byte < 9 for byte in sample):
        return None
    preferred = "cp1250" if language in CENTRAL_EUROPEAN else "cp1254" if language == "tr" else "cp1252"
    return preferred if _decodes(data, preferred) else "latin-1"


def _is_latin(text: str) -> bool:
    letters = [character for character in NOT_ASCII.findall(text) if character.isalpha()]
    return sum(character < "\u0250" for character in letters) * 2 >= len(letters)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
