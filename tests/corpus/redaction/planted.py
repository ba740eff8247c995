"""Personal data made up by chance, each in a form that people write, and numbers that only look like it."""

import random
import string

from groundup.corpus.redaction.accounts import IBAN_LENGTHS

ALNUM = string.ascii_letters + string.digits


def _some(chance: random.Random, alphabet: str, count: int) -> str:
    return "".join(chance.choices(alphabet, k=count))


def _mixed(chance: random.Random, count: int) -> str:
    """Letters of both cases and digits, all of them."""
    return "aB3" + "4x5" + _some(chance, ALNUM, count - 6)


def email(chance: random.Random) -> str:
    names = (_some(chance, string.ascii_lowercase, chance.randint(1, 12)) for _ in range(chance.randint(1, 3)))
    local = chance.choice("._+-").join(names)
    domain = ".".join(_some(chance, ALNUM, chance.randint(1, 12)) for _ in range(chance.randint(1, 3)))
    return f"{local}@{domain}.{chance.choice(['com', 'org', 'io', 'co.uk', 'museum', 'de', 'FR'])}"


def check_digit(digits: str) -> str:
    """By Luhn's rule as Wikipedia describes it: double every other digit from the right, add up the digits of all."""
    total = 0
    for position, digit in enumerate(digits[::-1]):
        total += int(digit) if position % 2 else sum(map(int, str(2 * int(digit))))
    return str(-total % 10)


def card(chance: random.Random) -> str:
    prefix, length = chance.choice(
        [("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15)]
        + [("6011", 16), ("65", 16), ("36", 14), ("3530", 16), ("6240", 16), ("6759", 16)]
    )
    digits = prefix + _some(chance, string.digits, length - len(prefix) - 1)
    digits += check_digit(digits)
    if length == 16 and chance.random() < 0.7:
        return chance.choice(" -").join(digits[at : at + 4] for at in range(0, 16, 4))
    if length == 15 and chance.random() < 0.7:
        return chance.choice(" -").join((digits[:4], digits[4:10], digits[10:]))
    return digits


def iban(chance: random.Random) -> str:
    country = chance.choice(sorted(IBAN_LENGTHS)).decode()
    account = _some(chance, string.digits + "ABCXYZ", IBAN_LENGTHS[country.encode()] - 4)
    value = int("".join(str(int(character, 36)) for character in account + country + "00"))
    whole = f"{country}{98 - value % 97:02}{account}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if chance.random() < 0.5 else whole


def ip(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return ":".join(["2a00", *(f"{chance.randrange(1, 1 << 16):x}" for _ in range(7))])
    first = chance.choice([23, 34, 52, 81, 93, 104, 142, 151, 185, 199, 203, 212])
    return f"{first}.{chance.randrange(114, 256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


def key(chance: random.Random) -> str:
    base64 = ALNUM + "+/"
    body = "\n".join(_some(chance, base64, 64) for _ in range(chance.randint(2, 26)))
    name = chance.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY"])
    return chance.choice(
        [
            f"AKIA{_some(chance, string.ascii_uppercase + string.digits, 15)}7",
            f"gh{chance.choice('pousr')}_{_some(chance, ALNUM, 36)}",
            f"github_pat_{_some(chance, ALNUM, 22)}_{_some(chance, ALNUM, 59)}",
            f"xoxb-{_some(chance, string.digits, 12)}-{_some(chance, string.digits, 12)}-{_some(chance, ALNUM, 24)}",
            f"AIza{_some(chance, ALNUM + '_-', 35)}",
            f"sk-{_mixed(chance, 48)}",
            f"sk-proj-{_mixed(chance, 64)}",
            f"glpat-{_some(chance, ALNUM, 20)}",
            f"hf_{_some(chance, string.ascii_letters, 34)}",
            f"eyJ{_some(chance, ALNUM, 30)}.eyJ{_some(chance, ALNUM, 60)}.{_some(chance, ALNUM + '-_', 43)}",
            f"-----BEGIN {name}-----\n{body}\n-----END {name}-----",
        ]
    )


def phone(chance: random.Random) -> str:
    def some(count: int) -> str:
        return _some(chance, string.digits, count)

    area, exchange = str(chance.randint(201, 989)), str(chance.randint(200, 999))
    return chance.choice(
        [
            f"({area}) {exchange}-{some(4)}",
            f"{area}-{exchange}-{some(4)}",
            f"{area}.{exchange}.{some(4)}",
            f"1-{area}-{exchange}-{some(4)}",
            f"+1 {area} {exchange} {some(4)}",
            f"+1{area}{exchange}{some(4)}",
            f"+44 20 7946 {some(4)}",
            f"+44 (0)20 7946 {some(4)}",
            f"+49 30 {some(8)}",
            f"+33 1 {some(2)} {some(2)} {some(2)} {some(2)}",
            f"+86-138-{some(4)}-{some(4)}",
            f"01 {some(2)} {some(2)} {some(2)} {some(2)}",
            f"020 7946 {some(4)}",
            f"07700 900{some(3)}",
            f"Tel: {chance.randint(200, 999)} {some(4)}",
        ]
    )


def nino(chance: random.Random) -> str:
    while True:
        prefix = _some(chance, "ABCEGHJKLMNOPRSTWXYZ", 1) + _some(chance, "ABCEGHJKLMNPRSTWXYZ", 1)
        if prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
            break
    parts = [prefix, *(_some(chance, string.digits, 2) for _ in range(3)), chance.choice("ABCD")]
    return chance.choice(["", " "]).join(parts)


KINDS = {"nino": nino, "email": email, "card": card, "iban": iban, "ip": ip, "key": key, "phone": phone}


def isbn(chance: random.Random) -> str:
    ten = "-".join((_some(chance, string.digits, 1), _some(chance, string.digits, 4), _some(chance, string.digits, 4)))
    return chance.choice(
        [f"ISBN 978-{ten}-{chance.randint(0, 9)}", f"ISBN {ten}-X", f"978-{ten}-{chance.randint(0, 9)}"]
    )


def harmless(chance: random.Random) -> str:
    """What technical documentation is full of."""
    number = chance.randrange
    return chance.choice(
        [
            isbn(chance),
            f"{number(1, 20)}.{number(60)}.{number(60)}",
            f"version {number(256)}.{number(256)}.{number(256)}.{number(256)}",
            f"v{number(256)}.{number(256)}.{number(256)}.{number(256)}",
            f"Chrome/{number(99)}.{number(256)}.{number(256)}.{number(256)}",
            f"section {number(9)}.{number(20)}.{number(20)}.{number(20)}",
            f"{number(1, 30)}.{number(30)}.{number(30)}.{number(30)}",
            f"{number(1900, 2030)}-{number(1, 13):02}-{number(1, 29):02}",
            f"{number(1900, 2030)}-{number(1, 13):02}-{number(1, 29):02} {number(24):02}:{number(60):02}",
            f"{number(1, 29):02}.{number(1, 13):02}.{number(1900, 2030)}",
            f"({number(1500, 1900)}-{number(1900, 2030)})",
            f"{number(24):02}:{number(60):02}:{number(60):02}.{number(10**6):06}",
            _some(chance, "0123456789abcdef", chance.choice([7, 8, 32, 40, 64])),
            _some(chance, "0123456789ABCDEF", chance.choice([32, 40, 64])),
            "-".join(_some(chance, "0123456789abcdef", count) for count in (8, 4, 4, 4, 12)),
            f"0.{_some(chance, string.digits, 16)}",
            f"{number(10**12):,}",
            f"10.{number(256)}.{number(256)}.{number(256)}",
            f"192.168.{number(256)}.{number(256)}/24",
            f"127.0.0.{number(256)}:{number(65536)}",
            f"192.0.2.{number(256)}",
            f"2001:db8::{number(65536):x}",
            f"fe80::{number(65536):x}",
            f"{_some(chance, string.ascii_lowercase, 6)}@example.com",
            f"git@github.com:{_some(chance, string.ascii_lowercase, 6)}/x.git",
            f"@{_some(chance, string.ascii_lowercase, 8)}",
            f"a@b = {number(10**9)}",
            f"RFC {number(9999)}, pp. {number(999)}-{number(999)}",
            f"sk-{'-'.join(_some(chance, string.ascii_lowercase, 9) for _ in range(5))}",
            "0x" + _some(chance, "0123456789ABCDEF", 16),
            " ".join(str(number(1000, 10000)) for _ in range(9)),
            f"range({number(10**4)}, {number(10**7)})",
            f"+{number(10**4)}/-{number(10**4)}",
            "std::vector<int>::iterator",
            "AKIAIOSFODNN7EXAMPLE",
        ]
    )
