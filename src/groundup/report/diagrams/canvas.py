"""Boxes, arrows and words as SVG that takes the page's colours, light or dark, and stays legible in grey.

Kinds of boxes differ in their tint and in their outline, never in the hue alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundup.report.markup import Html, text

Point = tuple[float, float]
TINTS = {  # kind -> (fill, opacity of it, outline, dashes)
    "plain": ("var(--raised)", 1.0, "var(--soft)", ""),
    "a": ("var(--a)", 0.22, "var(--a)", ""),
    "b": ("var(--b)", 0.14, "var(--b)", "5 2.5"),
    "c": ("var(--c)", 0.30, "var(--c)", "1.5 2"),
    "soft": ("var(--tint)", 1.0, "var(--line)", ""),
    "none": ("none", 1.0, "var(--soft)", "4 3"),
}


class Canvas:
    """A drawing that grows by its methods; `svg` gives it. Coordinates are pixels from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height, self._parts = width, height, list[str]()

    def box(self, x: float, y: float, w: float, h: float, *lines: str, kind: str = "plain", size: float = 13) -> None:
        """A rectangle with centred lines; the first is bold where there are several."""
        fill, opacity, outline, dashes = TINTS[kind]
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{min(5, h / 6):.3g}" fill="{fill}" '
            f'fill-opacity="{opacity}" '
            f'stroke="{outline}" stroke-width="1.3"{dashed}/>'
        )
        step = size * 1.3
        top = y + h / 2 - step * (len(lines) - 1) / 2
        for number, line in enumerate(lines):
            strong = number == 0 and len(lines) > 1
            self.words(x + w / 2, top + number * step, line, size=size if number == 0 else size - 1.5, bold=strong)

    def cell(self, x: float, y: float, w: float, h: float, fill: str = "a", opacity: float = 1.0) -> None:
        """A small filled rectangle."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="var(--{fill})" fill-opacity="{opacity:g}"/>'
        )

    def words(
        self,
        x: float,
        y: float,
        line: str,
        *,
        size: float = 13,
        anchor: str = "middle",
        colour: str = "ink",
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """A line of text centred on `y`; `anchor` is `start`, `middle` or `end`."""
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y + size * 0.35:g}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="var(--{colour})"{weight}{turn}>{text(line)}</text>'
        )

    def arrow(self, *points: Point, dashed: bool = False, colour: str = "soft", head: bool = True) -> None:
        """A line through the points with a head at the last."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.4"{dashes}/>'
        )
        if head:
            (x1, y1), (x2, y2) = points[-2:]
            angle = math.atan2(y2 - y1, x2 - x1)
            wings = [(x2 - 8 * math.cos(angle + turn), y2 - 8 * math.sin(angle + turn)) for turn in (0.42, -0.42)]
            shape = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x2, y2), *wings])
            self._parts.append(f'<polygon points="{shape}" fill="var(--{colour})"/>')

    def svg(self, label: str) -> Html:
        """The drawing; `label` says in words what it shows, for those who can't see it."""
        return Html(
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" role="img" '
            f'aria-label="{text(label)}">{"".join(self._parts)}</svg>'
        )


def row(canvas: Canvas, x: float, y: float, w: float, h: float, gap: float, boxes: Sequence[tuple[str, str]]) -> None:
    """Boxes of one size from left to right with arrows between; each is (words, kind)."""
    for number, (words, kind) in enumerate(boxes):
        left = x + number * (w + gap)
        canvas.box(left, y, w, h, *words.split("\n"), kind=kind)
        if number:
            canvas.arrow((left - gap + 2, y + h / 2), (left - 2, y + h / 2))
