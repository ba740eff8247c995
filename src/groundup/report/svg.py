"""Matplotlib's SVG, made fit for inlining in a page: it takes the page's fonts and colours, light or dark.

Colours are drawn as marker values and written as CSS variables; text stays text; ids are made unique to the drawing, so
that many of them can share a page; the same drawing always gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from groundup.report.markup import Html, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# CSS variable of the style sheet -> the marker colour that matplotlib draws with.
COLOURS = {
    "ink": "#100001",
    "soft": "#100002",
    "line": "#100003",
    "ground": "#100004",
    "a": "#10000a",
    "b": "#10000b",
    "c": "#10000c",
}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 12.0,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; only its widths are used
    "axes.unicode_minus": True,
    "path.simplify": True,
    "axes.linewidth": 1.0,
    "text.usetex": False,
}


@contextmanager
def settings(name: str) -> Iterator[None]:
    """What a drawing must be made and written under; `name` as for `inline`."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS | {"svg.hashsalt": name}):
        yield


def inline(figure: Figure, name: str, label: str) -> Html:
    """The figure as an `<svg>` element; to be called under `settings`.

    Args:
        figure: drawn in `COLOURS`, 72 dots an inch.
        name: unique in the page; begins all ids.
        label: what is drawn, in words, for those who can't see it.
    """
    written = io.StringIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    drawing = written.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', drawing)
    assert box is not None
    drawing = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    drawing = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = _own_ids(drawing.replace("xlink:href", "href"), name)
    drawing = re.sub(r'="[^"]*"', lambda found: _short(found[0]), drawing)
    drawing = re.sub(r"\s*font-family:[^;\"]*;?|(?<=font: )([^'\"]*?)(?: '[^;\"]*)(?=[;\"])", r"\1", drawing)
    drawing = re.sub(r">\s+<", "><", drawing.strip())
    return Html(f'<svg viewBox="{box[1]}" role="img" aria-label="{text(label)}">{drawing}</svg>')


def _own_ids(drawing: str, name: str) -> str:
    """Only ids that are referred to are kept."""
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', drawing))
    drawing = re.sub(r' id="([^"]+)"', lambda id_: f' id="{name}-{id_[1]}"' if id_[1] in referred else "", drawing)
    return re.sub(r'(href="|url\()#', rf"\1#{name}-", drawing)


def _short(attribute: str) -> str:
    """An attribute with numbers to a hundredth of a pixel, on one line, and variables in place of colours."""
    attribute = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute)
    for variable, marker in COLOURS.items():
        attribute = attribute.replace(marker, f"var(--{variable})")
    return re.sub(r"\s+", " ", attribute)
