"""The `curate.redaction:` section: what becomes of text that belongs to a person or opens a door."""

from typing import Literal, NamedTuple

from pydantic import Field

from groundup.section import Section

Policy = Literal["keep", "mask", "drop"]
Kind = Literal["key", "email", "iban", "card", "ip", "ssn", "nino", "phone"]

KINDS: tuple[Kind, ...] = ("key", "email", "iban", "card", "ip", "ssn", "nino", "phone")
"""In the order in which they claim a piece of text that more than one of them could be."""


class Name(NamedTuple):
    """What a kind is called in sentences."""

    one: str
    many: str


NAMES: dict[Kind, Name] = {
    "key": Name("a machine's password or key", "keys"),
    "email": Name("an e-mail address", "e-mail addresses"),
    "iban": Name("a bank account number", "bank accounts"),
    "card": Name("a payment card number", "payment cards"),
    "ip": Name("an IP address", "IP addresses"),
    "ssn": Name("a US social security number", "US social security numbers"),
    "nino": Name("a British national insurance number", "British national insurance numbers"),
    "phone": Name("a telephone number", "telephone numbers"),
}


class Redaction(Section):
    """For each kind: `keep` it, `mask` it (write `<email>` instead) or `drop` the document. All are counted."""

    email: Policy = "mask"
    """Addresses in any script, but those of the domains that are set aside for examples (RFC 2606)."""
    phone: Policy = "mask"
    """Telephone numbers: international (`+44 20 ...`, `0049 30 ...`), with slashes (`030/1234567`), North American, and
    any after a word such as `Tel:`."""
    ip: Policy = "mask"
    """Public IPv4 and IPv6 addresses; those of private networks, examples and single machines stay."""
    card: Policy = "mask"
    """Payment card numbers: an issuer's prefix and length, and a right check digit (Luhn)."""
    iban: Policy = "mask"
    """Bank account numbers: a country's length, and right check digits (ISO 13616)."""
    key: Policy = "mask"
    """Passwords of machines: private keys, the tokens of AWS, GitHub, Slack, Google, OpenAI and others, and passwords
    and tokens in the addresses of pages."""
    ssn: Policy = "mask"
    """US social security numbers: `123-45-6789`, or nine digits after a word such as `SSN`."""
    nino: Policy = "mask"
    """British national insurance numbers, in capitals: `AB123456C`, `AB 12 34 56 C`."""
    masks: dict[Kind, str] = Field(default_factory=dict)
    """What is written for a kind, where `<email>` and the like is not wanted: `{email: "[address]"}`."""

    def mask(self, kind: Kind) -> str:
        """What is written for text of this kind."""
        return self.masks.get(kind, f"<{kind}>")

    def policy(self, kind: Kind) -> Policy:
        """What becomes of text of this kind."""
        found: Policy = getattr(self, kind)
        return found
