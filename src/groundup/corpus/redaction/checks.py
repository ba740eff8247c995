"""Whether a candidate is what it looks like: patterns without backtracking, checksums, registries.

What is before and after a candidate decides too: `93.184.216.34` after `version` is no address.
"""

from groundup.corpus.redaction.accounts import cards, ibans
from groundup.corpus.redaction.addresses import emails, ipv4, ipv6
from groundup.corpus.redaction.candidates import EMAIL, IBAN, IPV6, KEY, LEAST_DIGITS, NUMBER
from groundup.corpus.redaction.identities import national_insurance, social_security
from groundup.corpus.redaction.keys import keys
from groundup.corpus.redaction.phones import phones
from groundup.corpus.redaction.span import Span

CONTEXT = 32  # bytes before a candidate that its check sees
_LEAST_DIGITS_OF_A_CARD = 13
_NO_DIGITS = bytes(byte for byte in range(256) if not 0x30 <= byte <= 0x39)


def check(what: int, piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """What there is in a candidate.

    Args:
        what: EMAIL, NUMBER, ... of `candidates`.
        piece: the candidate.
        before: up to CONTEXT bytes of the text before it.
        after: what follows it, as far as its check looks.
    """
    if what == NUMBER:
        return _numbers(piece, before, after)
    if what == EMAIL:
        return emails(piece, before)
    if what == IPV6:
        return ipv6(piece)
    if what == IBAN:
        return ibans(piece) or national_insurance(piece, before)
    assert what == KEY
    return keys(piece, before, after)


def _numbers(piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """Groups of digits may be an IPv4 address, a card or a telephone."""
    found: list[Span] = []
    digits = len(piece.translate(None, _NO_DIGITS))
    if piece.count(b".") >= 3:
        found += ipv4(piece, before, after)
    if digits >= _LEAST_DIGITS_OF_A_CARD:
        found += cards(piece, before, after)
    if digits >= LEAST_DIGITS:
        found += social_security(piece, before, after) or phones(piece, before, after, digits)
    return found
