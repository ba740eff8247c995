"""Payment cards and bank accounts: numbers that carry their own check."""

import regex

from groundup.corpus.redaction.span import Span

_CARD = regex.compile(
    rb"(?<![\d.])(?:\d{13,19}+|\d{4}(?P<gap>[ -])\d{4}(?P=gap)\d{4}(?P=gap)\d{4}(?:(?P=gap)\d{3})?"
    rb"|\d{4}(?P<other>[ -])\d{6}(?P=other)\d{4,5})(?!\d|\.\d)"
)


def cards(piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """Card numbers in groups of digits, written in one piece or in the groups that are embossed."""
    last = before[-1:]
    if last.isalnum() or (last and last in b"._/"):
        return []
    return [
        ("card", *found.span())
        for found in _CARD.finditer(piece)
        if _is_alone(found, piece, after) and is_card(digits_of(found[0]))
    ]


def _is_alone(found: "regex.Match[bytes]", piece: bytes, after: bytes) -> bool:
    """Whether no group of digits continues with the same separator, as in a table of numbers. An expiry date may."""
    gap, first, last = found["gap"] or found["other"], found.start(), found.end()
    rest = piece[last : last + 4]
    if gap and (piece[first - 1 : first] == gap or rest.startswith(gap)):
        return first == 0 and len(rest) == 3 and after.startswith(b"/")
    following = (rest or after)[:1]
    return not following.isalnum() and following != b"_"


def digits_of(text: bytes) -> bytes:
    return bytes(byte for byte in text if 0x30 <= byte <= 0x39)


def is_card(digits: bytes) -> bool:
    """Whether an issuer numbers its cards so, and the check digit (ISO/IEC 7812, Luhn) is right."""
    length = len(digits)
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    issued = (
        (digits[:1] == b"4" and length in (13, 16, 19))  # Visa
        or (length == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))  # Mastercard
        or (length == 15 and two in (34, 37))  # American Express
        or (16 <= length <= 19 and (four == 6011 or 644 <= three <= 649 or two == 65))  # Discover
        or (14 <= length <= 19 and (300 <= three <= 305 or two in (36, 38, 39)))  # Diners Club
        or (16 <= length <= 19 and (3528 <= four <= 3589 or two == 62))  # JCB, UnionPay
        or (length == 16 and four in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763))  # Maestro
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def luhn(digits: bytes) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, byte in enumerate(reversed(digits)):
        value = (byte - 0x30) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# Country -> characters (SWIFT IBAN registry).
IBAN_LENGTHS = {
    entry[:2].encode(): int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}


def ibans(piece: bytes) -> list[Span]:
    """The account number that a piece begins with: capitals and digits with single spaces between them."""
    length = IBAN_LENGTHS.get(piece[:2])
    if length is None:
        return []
    found, at = bytearray(), 0
    while at < len(piece) and len(found) < length:
        byte = piece[at]
        if 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A:
            found.append(byte)
        elif byte != 0x20 or piece[at - 1] == 0x20:
            return []
        at += 1
    whole = len(found) == length and not piece[at : at + 1].isalnum()
    return [("iban", 0, at)] if whole and is_iban(bytes(found)) else []


def is_iban(text: bytes) -> bool:
    """Whether the check digits are right (ISO 7064, mod 97-10)."""
    rearranged = text[4:] + text[:4]
    return int("".join(str(int(chr(byte), 36)) for byte in rearranged)) % 97 == 1
