"""Charts as inline SVG that fit any width: curves stretch, text and line widths do not.

The root element has no view box: positions are percentages of its size, offsets are pixels. Only
the curves are in a stretched element, with strokes that do not scale. Labels stand outside of the
root's box, in the margin that chart.css leaves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np

Values = Sequence[float] | np.ndarray

# role: its color as #rrggbb on a light and on a dark page, the same in every chart. The hues are
# those of Okabe and Ito ("Color Universal Design", 2008), which readers with any color vision tell
# apart, made darker or lighter until they can be read on the page.
PALETTE = {
    "ink": ("#17202b", "#e8ecf2"),
    "muted": ("#566170", "#9ca7b6"),
    "line": ("#e1e6ec", "#2b333e"),
    "page": ("#ffffff", "#11151b"),
    "card": ("#f5f7fa", "#191f28"),
    "demonstrated": ("#a3adba", "#717d8d"),
    "predicted": ("#0867b2", "#58b0f0"),
    "hold": ("#a8558a", "#dd92c2"),
    "mean": ("#8a6000", "#dfae43"),
    "good": ("#007a5c", "#3cc79c"),
    "bad": ("#c24e00", "#ff9550"),
}

_FINE = 1000  # units of the stretched element: finer than a pixel
_LABEL_PX = 15  # labels at the ends of lines are at least this far apart


@dataclass(frozen=True)
class Scale:
    """Axis of a chart: its ends, and its ticks at round numbers."""

    title: str  # what it shows, and in which unit
    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, values: Iterable[float]) -> np.ndarray:
        """Positions of values along the axis: 0 at its start, 1 at its end."""
        return (np.asarray(list(values), np.float64) - self.low) / (self.high - self.low)

    def written(self, tick: float) -> str:
        """Write a tick with just enough digits to distinguish the ticks."""
        gap = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(gap) + 1e-9))
        if digits > 4:
            return f"{tick:.0e}".replace("e-0", "e-") if tick else "0"
        return f"{tick:.{digits}f}".replace("-", "−")


def scale(title: str, low: float, high: float, ticks: int = 5) -> Scale:
    """Make an axis from `low` to `high`, with about `ticks` ticks at round numbers between them.

    There are at most half as many more. Ends that are equal are moved apart.
    """
    if not high > low:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / (1.5 * ticks)
    power = 10.0 ** math.floor(math.log10(width))
    step = power * next(step for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(title, low, high, tuple(step * k for k in range(first, last + 1)))


def around(title: str, values: Iterable[float], narrowest: float, ticks: int = 5) -> Scale:
    """Make an axis that holds values with some room, and is at least `narrowest` wide."""
    array = np.asarray(list(values), np.float64)
    low, high = float(array.min()), float(array.max())
    middle, width = (low + high) / 2, max(1.08 * (high - low), narrowest)
    return scale(title, middle - width / 2, middle + width / 2, ticks)


class Mark:
    """What a chart shows: `curve` is drawn in the stretched element, `signs` unstretched."""

    def curve(self, chart: "Chart") -> str:
        """Draw the part that stretches with the chart."""
        return ""

    def signs(self, chart: "Chart") -> str:
        """Draw the part that must not be stretched."""
        return ""


@dataclass(frozen=True)
class Line(Mark):
    """A curve, in its role's color; `label` stands at its end."""

    x: Values
    y: Values
    role: str
    label: str = ""
    style: str = ""  # classes of chart.css: thick, dashed

    def curve(self, chart: "Chart") -> str:
        places = np.stack([chart.x.place(self.x), 1 - chart.y.place(self.y)], axis=1)
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in places * _FINE)
        return (
            f'<polyline class="{self.style}" style="stroke:var(--{self.role})" points="{points}"/>'
        )


@dataclass(frozen=True)
class Dots(Mark):
    """Points: a circle, a ring or a cross each."""

    x: Values
    y: Values
    role: str
    shape: str = "circle"
    label: str = ""

    def signs(self, chart: "Chart") -> str:
        places = 100 * np.stack([chart.x.place(self.x), 1 - chart.y.place(self.y)], axis=1)
        return "".join(_sign(self.shape, self.role, x, y) for x, y in places)


@dataclass(frozen=True)
class Bars(Mark):
    """Bars from one x to another, each from the axis up to its height."""

    left: Values
    right: Values
    heights: Values
    role: str

    def curve(self, chart: "Chart") -> str:
        starts, ends = (chart.x.place(each) * _FINE for each in (self.left, self.right))
        heights = chart.y.place(self.heights) * _FINE
        return "".join(
            f'<rect style="fill:var(--{self.role})" x="{x:.1f}" y="{_FINE - height:.0f}" '
            f'width="{end - x:.1f}" height="{height:.0f}"/>'
            for x, end, height in zip(starts, ends, heights, strict=True)
        )


class Cursor(Mark):
    """A line across the chart that player.js moves with the videos, and the values there."""

    def signs(self, chart: "Chart") -> str:
        return '<line class="cursor" y2="100%"/>' + _text("", "100%", "0", "reading end", 0, -12)


@dataclass(frozen=True)
class Chart:
    """Marks over two axes; a chart without a title is one of several, titled by its y axis."""

    title: str
    x: Scale
    y: Scale
    marks: tuple[Mark, ...]
    height_px: int = 200
    square: bool = False  # as wide as it is high, whatever the page's width

    @property
    def lines(self) -> list[Line]:
        """The lines that have a label."""
        return [mark for mark in self.marks if isinstance(mark, Line) and mark.label]

    @property
    def line_labels(self) -> list[tuple[str, str]]:
        """(role, label) of the lines that have a label."""
        return [(line.role, line.label) for line in self.lines]


def inline_svg(chart: Chart) -> str:
    """Draw a chart for a page that has chart_style(); every text in it is escaped."""
    style = "aspect-ratio:1" if chart.square else f"height:{chart.height_px}px"
    named = "chart named" if chart.lines else "chart"
    axes = f"{chart.y.title} over {chart.x.title}"
    spoken = escape(f"{chart.title}: {axes}" if chart.title else axes)
    curves = "".join(mark.curve(chart) for mark in chart.marks)
    parts = [
        *_grid(chart),
        f'<svg class="curves" viewBox="0 0 {_FINE} {_FINE}" preserveAspectRatio="none" '
        f'width="100%" height="100%">{curves}</svg>',
        *(mark.signs(chart) for mark in chart.marks),
        *_end_labels(chart),
    ]
    ends = ""
    if any(isinstance(mark, Cursor) for mark in chart.marks):  # what player.js reads values by
        ends = f' data-end="{chart.x.high}" data-low="{chart.y.low}" data-high="{chart.y.high}"'
    return (
        f'<svg class="{named}" style="{style}" role="img" aria-label="{spoken}"{ends}>'
        f"{''.join(parts)}</svg>"
    )


def chart_style() -> str:
    """Style sheet of the charts, and the palette as variables that follow the reader's theme."""
    light, dark = (
        "".join(f"--{role}:{colors[theme]};" for role, colors in PALETTE.items())
        for theme in (0, 1)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        + files("handover_client.report").joinpath("templates/chart.css").read_text("utf-8")
    )


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
    ends = [
        (min(1.0, max(0.0, 1 - float(chart.y.place([line.y[-1]])[0]))), line)
        for line in chart.lines
    ]
    ends.sort(key=lambda end: end[0])  # lines that end at the same place: in the order of drawing
    parts, lowest_px = [], -float(_LABEL_PX)
    for place, line in ends:
        y_px = max(place * chart.height_px, lowest_px + _LABEL_PX)
        lowest_px = y_px
        y = f"{100 * y_px / chart.height_px:.2f}%"
        fill = f' style="fill:var(--{line.role})"'
        parts.append(_text(line.label, "100%", y, "name", 8, 4, fill))
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
