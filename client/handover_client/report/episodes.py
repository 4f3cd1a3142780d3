"""Episodes to look at: the videos of all cameras, and curves with a cursor that follows them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from handover_client.report.charts.svg import (
    Chart,
    Cursor,
    Dots,
    Line,
    Mark,
    Scale,
    around,
    inline_svg,
    scale,
)

_MOST_POINTS = 600  # of a curve in a page: two for each pixel of a small chart
_HEIGHT_PX = 92
_MOST_REPLAYED = 9  # episodes in a replay's page: each adds some 60 kB, and its videos


@dataclass(frozen=True)
class Camera:
    """A camera's view: its video as data, empty where there is none, and a note about it."""

    name: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One line of a chart: values over the steps, its role's color, and steps marked by rings."""

    values: np.ndarray
    role: str
    style: str = ""
    rings: Sequence[int] = ()


@dataclass(frozen=True)
class Charts:
    """A group's charts, and the values that are not drawn because they never change."""

    name: str
    charts: tuple[Markup, ...]
    constant: tuple[str, ...] = ()


def data_uri(video: bytes) -> str:
    """Write an mp4 as an address of its own; empty for no video."""
    return "data:video/mp4;base64," + base64.b64encode(video).decode("ascii") if video else ""


def group_charts(
    name: str, curves: Mapping[str, Sequence[Curve]], rate_hz: float, narrowest: float
) -> Charts:
    """Draw a group's values over time: {title of the y axis: its curves}.

    narrowest: least width of a y axis, so that noise at rest is not shown as motion. Values that
    never change are named instead of drawn.
    """
    charts, constant = [], []
    for title, lines in curves.items():
        values = np.concatenate([line.values for line in lines])
        values = values[np.isfinite(values)]
        if not len(values):
            constant.append(f"{title} has no numbers")
        elif np.ptp(values) == 0:
            constant.append(f"{title} = {values[0]:.4g}")
        else:
            axis = around(title, values, narrowest, 3)
            charts.append(Markup(inline_svg(_chart(axis, lines, rate_hz))))
    return Charts(name, tuple(charts), tuple(constant))


def _chart(axis: Scale, curves: Sequence[Curve], rate_hz: float) -> Chart:
    end_s = (max(len(curve.values) for curve in curves) - 1) / rate_hz
    marks: list[Mark] = []
    for curve in curves:
        steps, kept = thinned(curve.values, _MOST_POINTS)
        marks.append(Line(steps / rate_hz, kept, curve.role, style=f"{curve.style} v-{curve.role}"))
    for curve in curves:
        rings = np.asarray(curve.rings, int)
        marks.append(Dots(rings / rate_hz, curve.values[rings], curve.role, "ring"))
    x = scale("time, s", 0.0, end_s, 4)
    return Chart("", x, axis, (*marks, Cursor()), height_px=_HEIGHT_PX)


def thinned(values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep the lowest and the highest value of each stretch: (steps, values), at most `most`.

    No peak is lost, however long the episode. Values that are no numbers are left out.
    """
    steps = np.flatnonzero(np.isfinite(values))
    if len(steps) <= most:
        return steps, values[steps]
    kept = []
    for stretch in np.array_split(steps, most // 2):
        low, high = stretch[np.argmin(values[stretch])], stretch[np.argmax(values[stretch])]
        kept += sorted({int(low), int(high)})
    places = np.array(kept)
    return places, values[places]


def shown_episodes(figures: Mapping[str, Any]) -> list[int]:
    """Choose the episodes that a replay's page shows: spread from the easiest to the hardest."""
    key = figures["headline"]
    by_error = sorted(figures["per_trajectory"], key=lambda each: each[key]["mse"])
    places = np.linspace(0, len(by_error) - 1, min(len(by_error), _MOST_REPLAYED))
    return [by_error[round(place)]["episode"] for place in places]
