"""The report's drawings: curves, histograms, intervals. Each takes plain numbers and gives an inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.report.markup import Html
from groundup.report.svg import COLOURS, SETTINGS, inline, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 400, 236  # pixels at full size: two next to each other on a screen, one on a phone
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 26, 40  # the same in all drawings, so that axes align
MAX_POINTS, STRETCHES = 100, 64  # more points than these are drawn as so many stretches
STYLES = {"a": "-", "b": (0, (4, 2)), "c": (0, (1, 1.5))}  # distinguishable without colour too


@dataclass(frozen=True)
class Curve:
    """One line of a drawing."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "a"
    low: Sequence[float] | None = None
    """With `high`: a band around the line."""
    high: Sequence[float] | None = None
    dots: bool = False
    line: bool = True
    """False: the dots alone."""


def curve_of(
    rows: Sequence[Mapping[str, Any]], key: str, label: str, colour: str = "a", dots: bool = False
) -> Curve | None:
    """The curve of a metric over steps. Of more than a hundred rows, the mean, minimum and maximum of each stretch are
    drawn. None where no row has the metric."""
    found = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    if not found:
        return None
    curve = Curve(label, [step for step, _ in found], [value for _, value in found], colour, dots=dots)
    return curve if dots else thinned(curve)


def thinned(curve: Curve) -> Curve:
    """The same; of more than a hundred points the mean, minimum and maximum of each stretch."""
    steps, values = np.asarray(curve.x, dtype=np.float64), np.asarray(curve.y, dtype=np.float64)
    if len(steps) <= MAX_POINTS:
        return curve
    bounds = np.linspace(0, len(steps), STRETCHES + 1).astype(int)
    pieces = [values[first:last] for first, last in pairwise(bounds)]
    middle = [float(steps[first:last].mean()) for first, last in pairwise(bounds)]
    mean, low, high = ([float(of(piece)) for piece in pieces] for of in (np.mean, np.min, np.max))
    return replace(curve, x=middle, y=mean, low=low, high=high)


def curves(
    name: str,
    label: str,
    lines: Sequence[Curve | None],
    *,
    x_label: str = "step",
    y_label: str = "",
    below: Curve | None = None,
    zero: bool = False,
    log_x: bool = False,
) -> Html:
    """Lines over a shared axis; `below` is drawn in a strip of its own under them, on the same x axis.

    Args:
        name: unique in the page.
        label: the drawing in words.
        zero: draw a line at 0.
        log_x: a logarithmic x axis, for sizes and compute.
    """
    drawn = [line for line in lines if line is not None]
    with settings(name):
        height = HEIGHT + (56 if below else 0)
        figure = _figure(height)
        strip = 40 if below else 0
        axes = _axes(figure, height, BOTTOM + (strip + 20 if below else 0), TOP if len(drawn) > 1 else 8)
        for line in drawn:
            _draw(axes, line)
        if log_x:
            _logarithmic(axes, drawn)
        if zero:
            axes.axhline(0, color=COLOURS["soft"], linewidth=1)
        axes.set_ylabel(y_label, color=COLOURS["soft"])
        if len(drawn) > 1:
            _legend(axes)
        last = axes
        if below:
            last = _axes(figure, height, BOTTOM, height - BOTTOM - strip, ticks=2)
            _draw(last, below)
            last.set_ylim(bottom=0)
            last.set_xlim(axes.get_xlim())
            last.set_title(below.label, loc="right", pad=2, fontsize=SETTINGS["font.size"], color=COLOURS["soft"])
            axes.tick_params(labelbottom=False)
        last.set_xlabel(x_label, color=COLOURS["soft"])
        axes.yaxis.set_label_coords(-44 / (WIDTH - LEFT - RIGHT), 0.5)
        return inline(figure, name, label)


def histogram(
    name: str,
    label: str,
    values: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    bins: int = 32,
    limits: tuple[float, float] | None = None,
) -> Html:
    """How often values fall into each of a row of bins, one outline a kind, over the same bins.

    Args:
        limits: of the bins; without them the least and the most of all values.
    """
    with settings(name):
        figure = _figure(HEIGHT)
        axes = _axes(figure, HEIGHT, BOTTOM, TOP)
        everything = np.concatenate([np.asarray(one, dtype=np.float64) for one in values.values()])
        edges = np.histogram_bin_edges(everything, bins, limits)
        for (kind, one), colour in zip(values.items(), ("a", "b", "c"), strict=False):
            heights, _ = np.histogram(one, edges)
            style: Any = {"color": COLOURS[colour], "linestyle": STYLES[colour]}
            axes.stairs(heights, edges, fill=True, color=COLOURS[colour], alpha=0.18, linewidth=0)
            axes.stairs(heights, edges, label=kind, linewidth=1.6, **style)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x_label, color=COLOURS["soft"])
        axes.set_ylabel(y_label, color=COLOURS["soft"])
        axes.yaxis.set_label_coords(-44 / (WIDTH - LEFT - RIGHT), 0.5)
        _legend(axes)
        return inline(figure, name, label)


def interval(name: str, label: str, mean: float, low: float, high: float, *, x_label: str) -> Html:
    """A mean with its interval on a line that shows 0."""
    with settings(name):
        height = 96
        figure = _figure(height)
        axes = _axes(figure, height, BOTTOM, 14, left=20, right=20)
        axes.axvline(0, color=COLOURS["ink"], linewidth=1)
        axes.plot([low, high], [0, 0], color=COLOURS["a"], linewidth=5, alpha=0.35, solid_capstyle="butt")
        for end in (low, high):
            axes.plot([end, end], [-0.35, 0.35], color=COLOURS["a"], linewidth=1.6)
        axes.plot([mean], [0], "o", color=COLOURS["a"], markersize=8)
        reach = max(abs(low), abs(high), 0.5)
        axes.set_xlim(min(low, 0) - 0.25 * reach, max(high, 0) + 0.25 * reach)
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        axes.set_xlabel(x_label, color=COLOURS["soft"])
        return inline(figure, name, label)


def _figure(height: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH / 72, height / 72), dpi=72)


def _axes(
    figure: Figure, height: int, bottom: int, top: int, *, left: int = LEFT, right: int = RIGHT, ticks: int = 4
) -> Axes:
    """Axes with these margins in pixels: no frame, light lines across, no tick marks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width = WIDTH - left - right
    axes = figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, (height - bottom - top) / height))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["line"])
    axes.grid(axis="y", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5, labelcolor=COLOURS["soft"])
    for axis, most in ((axes.xaxis, 6), (axes.yaxis, ticks)):
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(_tick))
    return axes


def _logarithmic(axes: Axes, lines: Sequence[Curve]) -> None:
    """A logarithmic x axis with ticks at 1, 2 and 5, at powers of ten alone over three decades and more."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = [x for line in lines for x in line.x]
    wide = max(values) / min(values) > 1000
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, (1.0,) if wide else (1.0, 2.0, 5.0), numticks=7))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_scaled))


def _scaled(value: float, _position: int | None = None) -> str:
    """`200k`, `1.5M`, `1e12`."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if scale <= value < 1e12:
            return f"{value / scale:g}{unit}"
    return f"{value:.0e}".replace("e+", "e") if value >= 1e12 else f"{value:g}"


def _tick(value: float, _position: int | None = None) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "\u2212")
    short = f"{round(value, 10):g}"
    if len(short.lstrip("-")) > 6:
        short = f"{value:.2e}".replace("e-0", "e-").replace("0e", "e").replace(".0e", "e").replace(".e", "e")
    return short.replace("-", "\u2212")


def _draw(axes: Axes, line: Curve) -> None:
    colour, style = COLOURS[line.colour], STYLES[line.colour]
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
    dots: Any = {"marker": "o", "markersize": 4} if line.dots or len(line.x) == 1 else {}
    style = style if line.line else "none"
    axes.plot(line.x, line.y, color=colour, linestyle=style, linewidth=1.8, label=line.label, **dots)


def _legend(axes: Axes) -> None:
    """Above the drawing, where it hides nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 0.99),
        ncols=3,
        frameon=False,
        borderaxespad=0,
        handlelength=1.8,
        columnspacing=1.4,
        labelcolor=COLOURS["ink"],
    )
