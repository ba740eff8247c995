"""Where personal data could be: one pass over the bytes of a batch of texts, so that ordinary text costs nothing.

Few bytes can be part of what is looked for: a digit, `@`, `:`, and the last bytes of the beginnings of keys (`ghp_`,
`AKI`, `-----BEGIN`). All others are skipped. Around one of these the pass finds the widest piece that could be it, and
`checks` says whether it is. A piece is read once and is bounded, so no text, however made, takes more than linear time.

    ... mail jo@web.org or call +44 20 7946 0000 ...   ->   (email, "jo@web.org"), (number, "44 20 7946 0000")
"""

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Bytes, Offsets
from groundup.kernels.compilation import helper, kernel

EMAIL, NUMBER, IPV6, IBAN, KEY = range(5)

LOCAL_PART = 64  # most bytes before the @ (RFC 5321)
DOMAIN = 253
_IPV6 = 45  # most characters of one, with an IPv4 address at its end
_IBAN = 34 + 8  # with spaces
_TOKEN = 8192
LEAST_DIGITS = 7  # of a telephone number
_GAP = 2  # most separators between two groups of digits

PREFIXES: tuple[bytes, ...] = (
    *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"glpat-", b"npm_", b"hf_"),
    *(b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xoxs-", b"sk-", b"sk_live_", b"rk_live_"),
    *(b"sk_test_", b"rk_test_", b"dop_v1_", b"shpat_", b"shpss_", b"whsec_", b"pypi-", b"xapp-", b"gsk_", b"lin_api_"),
    *(b"AKI", b"ASI", b"AIz", b"eyJ", b"-----BEGIN"),
    *(b"token=", b"key=", b"secret=", b"password=", b"signature=", b"sig="),
    *(b"secret_access_", b"SECRET_ACCESS_", b"SecretAccessK"),
)
"""How keys begin, up to a byte that is rare in text."""
_INSIDE = 9  # the last so many prefixes may be within a longer word

# Classes of bytes, as bits.
_DIGIT, _ALNUM, _LOCAL, _HEX, _TOKEN_BYTE, _GAP_BYTE, _DOMAIN = 1, 2, 4, 8, 16, 32, 64


def _bits() -> NDArray[np.uint8]:
    bits = np.zeros(256, dtype=np.uint8)

    def mark(characters: bytes, bit: int) -> None:
        for byte in characters:
            bits[byte] |= bit

    digits, letters = b"0123456789", bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
    mark(digits, _DIGIT)
    mark(digits + letters, _ALNUM | _LOCAL | _TOKEN_BYTE)
    mark(digits + b"abcdefABCDEF:.", _HEX)
    mark(b"._%+-'", _LOCAL)
    mark(bytes(range(0x80, 0x100)), _LOCAL | _DOMAIN)  # any script; `emails` decides
    mark(digits + letters + b".-", _DOMAIN)
    mark(b"_-.", _TOKEN_BYTE)
    mark(b" -.()\xc2\xa0", _GAP_BYTE)  # with the two bytes of a no-break space
    return bits


def _triggers() -> NDArray[np.uint8]:
    """[256] 0 for bytes that are skipped; 1 digit, 2 @, 3 colon, 4 last byte of a prefix."""
    triggers = np.zeros(256, dtype=np.uint8)
    for prefix in PREFIXES:
        triggers[prefix[-1]] = 4
    triggers[0x30:0x3A] = 1
    triggers[ord("@")], triggers[ord(":")] = 2, 3
    return triggers


def _prefix_table() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`(bytes backwards, lengths)` of the prefixes."""
    lengths = np.array([len(prefix) for prefix in PREFIXES], dtype=np.int64)
    table = np.zeros((len(PREFIXES), lengths.max()), dtype=np.uint8)
    for row, prefix in enumerate(PREFIXES):
        table[row, : len(prefix)] = np.frombuffer(prefix[::-1], dtype=np.uint8)
    return table, lengths


_BITS = _bits()
_TRIGGERS = _triggers()
_PREFIX_BYTES, _PREFIX_LENGTHS = _prefix_table()
_AT, _COLON, _PLUS, _DOT, _UNDERSCORE, _HYPHEN = ord("@"), ord(":"), ord("+"), ord("."), ord("_"), ord("-")
_ZERO, _TWO, _THREE = ord("0"), ord("2"), ord("3")
_A, _Z, _SPACE = ord("A"), ord("Z"), ord(" ")


def candidates(buffer: Bytes, offsets: Offsets) -> NDArray[np.int64]:
    """[candidates, 4] row, what it could be, start, end; by rising start but for those that overlap.

    Args:
        buffer: UTF-8.
        offsets: [texts + 1] where each text starts, and the end of the last.
    """
    found = np.empty((1024, 4), dtype=np.int64)
    count = _scan(buffer, offsets, found)
    if count > len(found):
        found = np.empty((count, 4), dtype=np.int64)
        _scan(buffer, offsets, found)
    return found[:count]


# ---- compiled ----


@kernel
def _scan(buffer: Bytes, offsets: Offsets, found: NDArray[np.int64]) -> int:
    """Write as many candidates as there is room for; returns how many there are."""
    count = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        at = start
        while at < end:
            trigger = _TRIGGERS[buffer[at]]
            if trigger == 0:
                at += 1
                continue
            what, first, last = -1, at, at + 1
            if trigger == 1:
                capitals = _capitals(buffer, start, at) if at + 1 < end else at
                if capitals < at:
                    count = _put(found, count, row, IBAN, capitals, min(end, capitals + _IBAN))
                first, last, is_candidate = _number(buffer, start, at, end)
                what = NUMBER if is_candidate else -1
                at = last
            elif trigger == 2:
                first, last = _email(buffer, start, at, end)
                what = EMAIL if first < last else -1
                at += 1
            elif trigger == 3:
                first, last = _ipv6(buffer, start, at, end)
                what = IPV6 if first < last else -1
                at = max(at + 1, last)
            else:
                first = _key(buffer, start, at)
                if first >= 0:
                    what, last = KEY, at + 1
                    while last < end and last - first < _TOKEN and _BITS[buffer[last]] & _TOKEN_BYTE:
                        last += 1
                at += 1
            if what >= 0:
                count = _put(found, count, row, what, first, last)
    return count


@helper
def _put(found: NDArray[np.int64], count: int, row: int, what: int, first: int, last: int) -> int:
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = row, what, first, last
    return count + 1


@helper
def _number(buffer: Bytes, start: int, at: int, end: int) -> tuple[int, int, bool]:
    """`(start, end, whether it is long enough)` of groups of digits with one or two separators between them."""
    digits, dots, last = 0, 0, at
    here = at
    while here < end:
        if _BITS[buffer[here]] & _DIGIT:
            digits += 1
            here += 1
            last = here
            continue
        gap = here
        while gap < end and gap - here < _GAP and _BITS[buffer[gap]] & _GAP_BYTE:
            gap += 1
        if gap == here or gap >= end or not _BITS[buffer[gap]] & _DIGIT:
            break
        dots += buffer[here] == _DOT
        here = gap
    first = at
    while first > start and first > at - 2 and (buffer[first - 1] == _PLUS or buffer[first - 1] == 0x28):
        first -= 1
    return first, last, digits >= LEAST_DIGITS or dots >= 3


@helper
def _email(buffer: Bytes, start: int, at: int, end: int) -> tuple[int, int]:
    """The bytes around an @ that an address can consist of; an empty piece where it can be none."""
    if at + 1 >= end or not (_BITS[buffer[at + 1]] & _ALNUM or buffer[at + 1] >= 128):
        return at, at
    first = at
    while first > start and at - first < 2 * LOCAL_PART and _BITS[buffer[first - 1]] & _LOCAL:
        first -= 1
    while first < at and buffer[first] & 0xC0 == 0x80:  # not within a character
        first += 1
    if first == at:
        return at, at
    last, dots = at + 1, 0
    while last < end and last - at <= DOMAIN and _BITS[buffer[last]] & _DOMAIN:
        dots += buffer[last] == _DOT
        last += 1
    while last < end and last - at > DOMAIN and buffer[last] & 0xC0 == 0x80:
        last += 1
    return first, (last if dots else first)


@helper
def _ipv6(buffer: Bytes, start: int, at: int, end: int) -> tuple[int, int]:
    """Hexadecimal digits, colons and dots around a colon, where they begin like a public address: 2xxx: or 3xxx:."""
    first = at - 4
    if first < start or (buffer[first] != _TWO and buffer[first] != _THREE):
        return at, at
    for near in range(first, at):
        if not _BITS[buffer[near]] & _HEX or buffer[near] == _DOT or buffer[near] == _COLON:
            return at, at
    if first > start and (_BITS[buffer[first - 1]] & (_ALNUM | _HEX) or buffer[first - 1] == _UNDERSCORE):
        return at, at
    last = at + 1
    while last < end and last - first <= _IPV6 and _BITS[buffer[last]] & _HEX:
        last += 1
    return first, last


@helper
def _capitals(buffer: Bytes, start: int, at: int) -> int:
    """Where two capitals begin that are a word, before two digits from `at` on or a space or hyphen away from them;
    `at` where there are none."""
    first = at - 2
    if at > start and (buffer[at - 1] == _SPACE or buffer[at - 1] == _HYPHEN):
        first -= 1
    if (
        first >= start
        and _A <= buffer[first] <= _Z
        and _A <= buffer[first + 1] <= _Z
        and _BITS[buffer[at + 1]] & _DIGIT
        and (first == start or not _BITS[buffer[first - 1]] & _ALNUM)
    ):
        return first
    return at


@helper
def _key(buffer: Bytes, start: int, at: int) -> int:
    """Where the key begins whose prefix ends at `at`; -1 where none does."""
    for row in range(len(_PREFIX_LENGTHS)):
        length = _PREFIX_LENGTHS[row]
        first = at - length + 1
        if first < start:
            continue
        back = 0
        while back < length and buffer[at - back] == _PREFIX_BYTES[row, back]:
            back += 1
        if back == length and (
            row >= len(_PREFIX_LENGTHS) - _INSIDE or first == start or not _BITS[buffer[first - 1]] & _TOKEN_BYTE
        ):
            return first
    return -1
