"""E-mail and internet addresses that belong to somebody."""

import ipaddress

import regex

from groundup.corpus.redaction.candidates import LOCAL_PART
from groundup.corpus.redaction.span import Span

# Letters, digits and marks of scripts that put spaces between words, and of those that don't (`corpus/words.py`): in
# these nothing separates an address from the words around it, so they are an address's only if all of it is in them.
_ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_SPACED = rf"(?!{_ALONE})[\p{{L}}\p{{M}}\p{{N}}]"
_LABEL = rf"(?:{_SPACED}(?:(?:{_SPACED}|-){{0,61}}{_SPACED})?|{_ALONE}{{1,61}})"
_EMAIL = regex.compile(
    rf"(?P<local>(?:{_SPACED}|_)(?:{_SPACED}|[_%+'-]|\.(?!\.))*+(?<!\.))"
    rf"@(?P<domain>(?:{_LABEL}\.)+(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}}|(?![\x00-\x7f])(?:{_SPACED}){{2,24}}|{_ALONE}{{2,24}}))"
    rf"|(?P<local>{_ALONE}{{1,32}})@(?P<domain>(?:{_ALONE}{{1,61}}\.)+{_ALONE}{{2,24}})"
)
# RFC 2606 and 6761: domains that are nobody's, and that documentation is full of.
_EXAMPLE = regex.compile(r"(?i)(?:.*\.)?(?:example\.(?:com|org|net|edu)|example|invalid|test|localhost|local)")
_SERVICES = ("git", "hg", "svn")  # whom one clones from: git@github.com:owner/project


_ENDS_LOCAL = regex.compile(_ALONE)
_IN_URL = regex.compile(rb"://[^\s/@:]{1,64}:\Z")  # the name before a password


def emails(piece: bytes, before: bytes) -> list[Span]:
    """The address in the characters around an @; or the password before it, in `https://name:password@host`."""
    at = piece.index(b"@")
    if _IN_URL.search(before):
        return [("key", 0, at)]
    text = piece.decode("utf-8", "replace")
    middle = text.index("@")
    first = middle
    while first > 0 and not _ENDS_LOCAL.match(text[first - 1]):
        first -= 1
    if first == middle:  # all of it may be in a script without spaces
        first = 0
    dots = text.rfind("..", first, middle)
    first = dots + 2 if dots >= 0 else first
    while first < middle and text[first] in ".%+'-":
        first += 1
    found = _EMAIL.match(text, first)
    if found is None or found["local"] in _SERVICES or _EXAMPLE.fullmatch(found["domain"]):
        return []
    if len(found["local"].encode()) > LOCAL_PART:
        return []
    start = len(text[:first].encode())
    return [("email", start, start + len(found[0].encode()))]


_IPV4 = regex.compile(rb"(?<![\d.-])\d{1,3}(?:\.\d{1,3}){3}+(?!\d|[.-]\d)")
# What makes four numbers a version, a section of a law or a piece of a longer word.
_VERSION = regex.compile(
    rb"(?:(?i:\b(?:v|ver|version|versions|release|released|build|firmware|driver|rev|revision|update|patch|upgrade|sp|"
    rb"section|sections|sec|chapter|clause|paragraph|article|appendix|annex|table|figure|fig|oid|rule|item|step)|\xc2\xa7)"
    rb"[ \t.:=#(]{0,3}|[A-Za-z0-9]/|[A-Za-z0-9_]|[=<>~^]=\s?)\Z"
)
_LEAST = 64
_NEAR = 32  # bytes before an address that are looked at


def ipv4(piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """Public addresses in groups of digits.

    Four numbers below 64 are far more often a version or a section (`3.16.2.2`) than an address: of all addresses only
    one in 250 is such. They stay.
    """
    spans: list[Span] = []
    for found in _IPV4.finditer(piece):
        first, last = found.span()
        context = before + piece[:first] if first < _NEAR else piece[first - _NEAR : first]
        if (
            _is_public(found[0])
            and not _VERSION.search(context)
            and not _continues((piece[last : last + 2] + after)[:2])
        ):
            spans.append(("ip", first, last))
    return spans


def _continues(after: bytes) -> bool:
    """Whether a letter follows, or a hyphen with one: `1.2.3.4a`, `1.2.3.4-beta`."""
    return after[:1].isalnum() or after[:1] == b"_" or (after[:1] == b"-" and after[1:].isalpha())


def _is_public(text: bytes) -> bool:
    """Whether the internet routes it to one machine."""
    groups = text.split(b".")
    if all(int(group) < _LEAST for group in groups):
        return False
    try:
        address = ipaddress.IPv4Address(text.decode())
    except ValueError:  # a number above 255, or with a leading zero
        return False
    return address.is_global and not address.is_multicast


def ipv6(piece: bytes) -> list[Span]:
    """A public address in hexadecimal digits and colons."""
    text = piece.rstrip(b".") if piece.endswith(b"::") else piece.rstrip(b".:")
    if text.count(b":") < 2:
        return []
    try:
        address = ipaddress.IPv6Address(text.decode())
    except ValueError:
        return []
    return [("ip", 0, len(text))] if address.is_global else []
