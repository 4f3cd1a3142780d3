"""Matplotlib figures in the reports' look: PNG files, and SVG that follows the page's theme."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handover_client.report.palette import PALETTE

LIGHT = {role: colour.light for role, colour in PALETTE.items()}
_PNG_DPI = 110
_PATH = re.compile(r' d="[^"]*"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")

_LOOK: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text: small, sharp, in the page's own font
    "svg.hashsalt": "handover",  # the same figure gives the same file
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": LIGHT["page"],
}


@contextmanager
def look() -> Iterator[None]:
    """Draw and save figures in the reports' look inside this block."""
    with mpl.rc_context(_LOOK):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """Make an empty figure that knows no screen."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_grid(figure: Figure, rows: int, columns: int) -> list[Axes]:
    """Make rows x columns axes with one x axis for all, listed row by row."""
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    return list(grid.flat)


def arrange(figure: Figure) -> Figure:
    """Settle a finished figure's layout once, instead of every time that it is saved."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Save a figure as a PNG on a light page."""
    figure.savefig(path, dpi=_PNG_DPI)


def themed_svg(figure: Figure) -> str:
    """Draw a figure as an inline SVG whose colours are the page's variables."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for role, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{role})")
    return _PATH.sub(lambda path: _shorten(path[0]), text)


def _shorten(path: str) -> str:
    """Write a path's coordinates to a hundredth of a point: half the page's size."""
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", path)
