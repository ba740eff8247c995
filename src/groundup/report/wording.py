"""Numbers as a reader wants them. Absent ones are a dash."""

from collections.abc import Sequence

ABSENT = "\u2013"
MINUS = "\u2212"
SPACE = "\u202f"  # narrow and not breaking: between a number and its unit


def count(number: float | None) -> str:
    """`12,345`."""
    return ABSENT if number is None else f"{number:,.0f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 document`, `12,345 documents`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def decimal(number: float | None, digits: int = 3) -> str:
    """`1.842`, with a true minus."""
    return ABSENT if number is None else f"{number:,.{digits}f}".replace("-", MINUS)


def percent(fraction: float | None, digits: int = 1) -> str:
    """`81.3 %` for .813. What is not quite all never reads as 100, nor what is not quite nothing as 0."""
    if fraction is None:
        return ABSENT
    shown, step = round(100 * fraction, digits), 10.0**-digits
    if 0 < fraction < 1:
        shown = min(max(shown, step), 100 - step)
    return f"{shown:.{digits}f}{SPACE}%"


def relative(number: float, other: float) -> str:
    """How much more or less `number` is than `other`: `+12 %`."""
    return f"{100 * (number / other - 1):+.0f}{SPACE}%".replace("-", MINUS)


def points(difference: float, digits: int = 1) -> str:
    """A difference of two fractions in points of a hundred, signed: `+1.3`; what rounds to nothing is `0.0`."""
    return signed(100 * difference, digits)


def signed(number: float, digits: int = 3) -> str:
    """`+0.013`; what rounds to nothing is `0.000`."""
    shown = f"{number:+.{digits}f}"
    return shown[1:] if float(shown) == 0 else shown.replace("-", MINUS)


def size(amount: float | None) -> str:
    """Bytes in powers of ten: `812 kB`, `5.1 MB`, `2.4 GB`."""
    if amount is None:
        return ABSENT
    for unit, scale, digits in (("TB", 1e12, 1), ("GB", 1e9, 1), ("MB", 1e6, 1), ("kB", 1e3, 0)):
        if amount >= scale:
            return f"{amount / scale:,.{0 if amount >= 100 * scale else digits}f}{SPACE}{unit}"
    return f"{amount:,.0f}{SPACE}bytes"


def duration(seconds: float | None) -> str:
    """`0.8 s`, `42 s`, `9 min 12 s`, `1 h 05 min`."""
    if seconds is None:
        return ABSENT
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02}{SPACE}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{SPACE}h {minutes % 60:02}{SPACE}min"


def millions(number: float) -> str:
    """`4.0 million`, `0.3 million`, `1.5 billion`; below a hundred thousand `12,345`."""
    for unit, scale, least in (("billion", 1e9, 1e9), ("million", 1e6, 1e5)):
        if number >= least:
            return f"{number / scale:,.1f} {unit}"
    return f"{number:,.0f}"


def shortened(line: str, limit: int = 120) -> str:
    """`line`, or its beginning and an ellipsis."""
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
