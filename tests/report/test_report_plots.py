"""Drawings show the very numbers, are the same bytes for the same numbers, and take their colours from the page."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from groundup.report.plots import STRETCHES, Curve, curve_of, curves, histogram, interval
from groundup.report.svg import COLOURS

ROWS = [{"step": step, "loss": 5 / step + (step % 7) / 10, "nothing": None} for step in range(1, 1000)]


def drawn(svg):
    return ET.fromstring(svg)


def points_of(svg, variable):
    """The points of each line drawn in a colour, as matplotlib's path commands name them."""
    lines = [path.get("d") for path in drawn(svg).iter("path") if f"stroke: var(--{variable})" in path.get("style", "")]
    return [np.array(re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", line), dtype=float) for line in lines if line]


def test_a_curve_is_drawn_where_its_numbers_are():
    """Coordinates of each point are the values, scaled and flipped: least squares leaves under a tenth of a
    pixel."""
    x, y = [1, 2, 5, 9, 14], [3.0, 1.0, 4.0, 1.5, 9.2]
    line = max(points_of(curves("t", "t", [Curve("t", x, y)]), "a"), key=len)
    assert len(line) == len(x)
    for axis, values in ((0, x), (1, y)):
        design = np.column_stack([values, np.ones(len(x))])
        (slope, _), *_ = np.linalg.lstsq(design, line[:, axis], rcond=None)
        assert np.abs(design @ np.linalg.lstsq(design, line[:, axis], rcond=None)[0] - line[:, axis]).max() < 0.1
        assert (slope > 0) == (axis == 0)  # SVG counts from the top


def test_long_curves_keep_their_mean_and_their_extremes():
    """Every row is in one stretch: the weighted means give the mean of all, the band touches least and most."""
    curve = curve_of(ROWS, "loss", "loss")
    losses = [row["loss"] for row in ROWS]
    assert len(curve.y) == STRETCHES
    assert min(curve.low) == min(losses) and max(curve.high) == max(losses)
    bounds = np.linspace(0, len(losses), STRETCHES + 1).astype(int)
    assert np.average(curve.y, weights=np.diff(bounds)) == pytest.approx(np.mean(losses))
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.y, curve.high, strict=True))


def test_absent_metrics_have_no_curve():
    assert curve_of(ROWS, "nothing", "n") is None and curve_of(ROWS, "unheard_of", "u") is None


DRAWINGS = {
    "curves": lambda name: curves(
        name,
        "loss & <rate>",
        [curve_of(ROWS, "loss", "training"), Curve("validation", [10, 500], [3, 1], "b", dots=True)],
        below=curve_of(ROWS, "loss", "rate", "c"),
        zero=True,
    ),
    "histogram": lambda name: histogram(name, "h", {"a": [1, 2, 2, 3], "b": [5, 5]}, x_label="x", y_label="y"),
    "interval": lambda name: interval(name, "i", 1.3, 0.4, 2.2, x_label="points"),
    "interval at zero": lambda name: interval(name, "i", 0.0, 0.0, 0.0, x_label="points"),
    "one point": lambda name: curves(name, "o", [Curve("o", [1], [2.0])]),
    "one value": lambda name: histogram(name, "h", {"a": [1.0], "b": [1.0]}, x_label="x", y_label="y"),
}


@pytest.mark.parametrize("make", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_drawings_fit_the_page(make):
    """Well-formed, the same bytes twice, no colour or font of their own, no id that another drawing has, all text as
    text."""
    svg = make("first")
    assert svg == make("first")
    assert not re.search(r"#[0-9a-f]{6}\b|font-family|<style|<script|http", svg)
    assert not any(marker in svg for marker in COLOURS.values())
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids)) and not set(ids) & set(re.findall(r'\bid="([^"]+)"', make("second")))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) == set(ids)
    assert any(text.text for text in drawn(svg).iter("text"))
    assert drawn(svg).get("role") == "img" and drawn(svg).get("aria-label")


def test_a_histogram_counts_everything():
    """The heights of a kind's outline are its counts, by numpy's own histogram over the same bins."""
    values = {"a": [0.1, 0.2, 0.9, 0.95, 0.97], "b": [0.5]}
    svg = histogram("h", "h", values, x_label="x", y_label="y", bins=4)
    line = max(points_of(svg, "a"), key=len)
    base = line[:, 1].max()
    heights = base - line[:, 1]
    counts, _ = np.histogram(values["a"], np.histogram_bin_edges([*values["a"], *values["b"]], 4))
    assert heights.max() / heights[heights > 1].min() == pytest.approx(
        counts.max() / counts[counts > 0].min(), rel=0.02
    )
