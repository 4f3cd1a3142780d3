"""Charts as inline SVG that fit any width: curves stretch, text and line widths do not.

The root element has no view box: positions are percentages of its size, offsets are pixels. Only
the curves are in a stretched element, with strokes that do not scale. Labels stand outside of the
root's box, in the margin that chart.css leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from handover_client.report.charts.scale import Scale

Values = Sequence[float] | np.ndarray

_FINE = 1000  # units of the stretched element: finer than a pixel
_LABEL_PX = 15  # labels at the ends of lines are at least this far apart


@dataclass(frozen=True)
class Line:
    """A curve, in its role's colour; `label` stands at its end."""

    x: Values
    y: Values
    role: str
    label: str = ""
    style: str = ""  # classes of chart.css: thick, dashed

    def curve(self, chart: "Chart") -> str:
        """Draw in the stretched element."""
        places = np.stack([chart.x.place(self.x), 1 - chart.y.place(self.y)], axis=1)
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in places * _FINE)
        return (
            f'<polyline class="{self.style}" style="stroke:var(--{self.role})" points="{points}"/>'
        )

    def signs(self, chart: "Chart") -> str:
        """Draw what must not be stretched: nothing."""
        return ""


@dataclass(frozen=True)
class Dots:
    """Points: a circle, a ring or a cross each."""

    x: Values
    y: Values
    role: str
    shape: str = "circle"
    label: str = ""

    def curve(self, chart: "Chart") -> str:
        """Draw in the stretched element: nothing."""
        return ""

    def signs(self, chart: "Chart") -> str:
        """Draw each point at its place, unstretched."""
        places = 100 * np.stack([chart.x.place(self.x), 1 - chart.y.place(self.y)], axis=1)
        return "".join(_sign(self.shape, self.role, x, y) for x, y in places)


@dataclass(frozen=True)
class Columns:
    """A bar for each place 0, 1, 2 …"""

    heights: Values
    role: str
    label: str = ""

    def curve(self, chart: "Chart") -> str:
        """Draw in the stretched element."""
        starts = chart.x.place(np.arange(len(self.heights)) - 0.36) * _FINE
        width = 0.72 * _FINE / (chart.x.high - chart.x.low)
        heights = chart.y.place(self.heights) * _FINE
        return "".join(
            f'<rect style="fill:var(--{self.role})" x="{x:.1f}" y="{_FINE - height:.0f}" '
            f'width="{width:.1f}" height="{height:.0f}"/>'
            for x, height in zip(starts, heights, strict=True)
        )

    def signs(self, chart: "Chart") -> str:
        """Draw what must not be stretched: nothing."""
        return ""


Mark = Line | Dots | Columns


@dataclass(frozen=True)
class Chart:
    """Marks over two axes; a chart without a title is one of several, told by its y axis."""

    title: str
    x: Scale
    y: Scale
    marks: tuple[Mark, ...]
    height_px: int = 200
    square: bool = False  # as wide as it is high, whatever the page's width

    @property
    def line_labels(self) -> list[tuple[str, str]]:
        """List (role, label) of the lines that have a label."""
        return [(m.role, m.label) for m in self.marks if isinstance(m, Line) and m.label]


def inline_svg(chart: Chart) -> str:
    """Draw a chart for a page that has chart.css; every text in it is escaped."""
    style = "aspect-ratio:1" if chart.square else f"height:{chart.height_px}px"
    named = "chart named" if chart.line_labels else "chart"
    return (
        f'<svg class="{named}" style="{style}" role="img" aria-label="{_spoken(chart)}">'
        f"{chart_body(chart)}</svg>"
    )


def chart_body(chart: Chart) -> str:
    """Draw everything of a chart that goes inside its root element."""
    curves = "".join(mark.curve(chart) for mark in chart.marks)
    return "".join(
        [
            *_grid(chart),
            f'<svg class="curves" viewBox="0 0 {_FINE} {_FINE}" preserveAspectRatio="none" '
            f'width="100%" height="100%">{curves}</svg>',
            *(mark.signs(chart) for mark in chart.marks),
            *_end_labels(chart),
        ]
    )


def _spoken(chart: Chart) -> str:
    axes = f"{chart.y.title} over {chart.x.title}"
    return escape(f"{chart.title}: {axes}" if chart.title else axes)


def _grid(chart: Chart) -> list[str]:
    parts = []
    for tick, place in zip(chart.y.ticks, 100 * (1 - chart.y.place(chart.y.ticks)), strict=True):
        parts.append(f'<line x2="100%" y1="{place:.2f}%" y2="{place:.2f}%"/>')
        parts.append(_text(chart.y.written(tick), "0", f"{place:.2f}%", "tick end", -8, 4))
    for tick, place in zip(chart.x.ticks, 100 * chart.x.place(chart.x.ticks), strict=True):
        if chart.square:
            parts.append(f'<line x1="{place:.2f}%" x2="{place:.2f}%" y2="100%"/>')
        parts.append(_text(chart.x.written(tick), f"{place:.2f}%", "100%", "tick mid", 0, 17))
    parts.append(_text(chart.y.title, "0", "0", "axis" if chart.title else "title", -40, -12))
    parts.append(_text(chart.x.title, "100%", "100%", "axis end", 0, 33))
    return parts


def _end_labels(chart: Chart) -> list[str]:
    """Name each line at its end, moved apart where lines end close together."""
    lines = [mark for mark in chart.marks if isinstance(mark, Line) and mark.label]
    ends = [
        (min(1.0, max(0.0, 1 - float(chart.y.place([line.y[-1]])[0]))), line.role, line.label)
        for line in lines
    ]
    ends.sort(key=lambda end: end[0])  # lines that end at the same place: in the order of drawing
    parts, lowest_px = [], -float(_LABEL_PX)
    for place, role, label in ends:
        y_px = max(place * chart.height_px, lowest_px + _LABEL_PX)
        lowest_px = y_px
        y = f"{100 * y_px / chart.height_px:.2f}%"
        parts.append(_text(label, "100%", y, "name", 8, 4, f' style="fill:var(--{role})"'))
    return parts


def _sign(shape: str, role: str, x: float, y: float) -> str:
    if shape == "cross":
        arms = '<path d="M-4-4 4 4M-4 4 4-4"/>'
        paint = f"stroke:var(--{role})"
        return f'<svg class="cross" x="{x:.2f}%" y="{y:.2f}%" style="{paint}">{arms}</svg>'
    radius, paint = (4.5, "fill") if shape == "circle" else (2.6, "stroke")
    return (
        f'<circle class="{shape}" style="{paint}:var(--{role})" r="{radius}" '
        f'cx="{x:.2f}%" cy="{y:.2f}%"/>'
    )


def _text(text: str, x: str, y: str, classes: str, dx: int = 0, dy: int = 0, more: str = "") -> str:
    return (
        f'<text class="{classes}" x="{x}" y="{y}" dx="{dx}" dy="{dy}"{more}>{escape(text)}</text>'
    )
