"""Numbers read as a person would write them, and never say more than they know."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.report.wording import count, decimal, duration, listed, millions, percent, points, relative, signed, size


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_not_quite_all_is_not_all(fraction):
    """A fraction inside (0, 1) is never shown as 0 or 100 %, and is off by no more than a tenth of a point."""
    shown = float(percent(fraction).split("\u202f")[0])
    assert 0 < shown < 100 and abs(shown - 100 * fraction) <= 0.1


@given(st.floats(0, 1e6))
def test_durations_are_near(seconds):
    """Read back, a duration is the seconds it was made from, to what it shows."""
    units = {"h": 3600, "min": 60, "s": 1}
    shown = sum(float(value) * units[unit] for value, unit in re.findall(r"([\d.]+)\s(h|min|s)", duration(seconds)))
    assert abs(shown - seconds) <= (30 if seconds >= 3569 else 0.5 if seconds >= 9.95 else 0.05) + 1e-6


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (percent(1.0), "100.0 %"),
        (percent(None), "\u2013"),
        (points(-0.0131), "\u22121.3"),
        (points(0.0131), "+1.3"),
        (points(-0.0001), "0.0"),
        (signed(0.0131), "+0.013"),
        (relative(3, 4), "\u221225 %"),
        (decimal(-0.5, 2), "\u22120.50"),
        (count(12345), "12,345"),
        (size(812_345), "812 kB"),
        (size(5_094_660), "5.1 MB"),
        (size(999), "999 bytes"),
        (duration(552), "9 min 12 s"),
        (duration(3900), "1 h 05 min"),
        (duration(59.7), "1 min 00 s"),
        (millions(4_000_000), "4.0 million"),
        (millions(800_768), "0.8 million"),
        (millions(12_345), "12,345"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_examples(shown, wanted):
    assert shown.replace("\u202f", " ") == wanted
