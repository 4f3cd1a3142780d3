"""Charts as an SVG file of its own: the same drawing as in the page, in a grid of fixed size."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from handover_client.report.charts.palette import css_variables
from handover_client.report.charts.svg import Chart, chart_body
from handover_client.results.run_folder import write_file

_WIDTH_PX = 960
_LEFT_PX, _RIGHT_PX, _ABOVE_PX, _BELOW_PX = 56, 24, 56, 48
_NAMES_PX = 110  # for the names of lines, to the right of a chart


def chart_style() -> str:
    """Give the style sheet that charts need, with the palette in it."""
    return css_variables() + _stylesheet("chart.css")


def write_sheet(path: Path, charts: Sequence[Chart], columns: int = 1) -> None:
    """Write charts to an SVG file, down the columns, each with its title above."""
    rows = -(-len(charts) // columns)
    cell_px = _WIDTH_PX // columns
    row_px = _ABOVE_PX + _BELOW_PX + charts[0].height_px
    cells = [
        _cell(chart, cell_px * (place // rows), row_px * (place % rows), cell_px)
        for place, chart in enumerate(charts)
    ]
    write_file(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" height="{row_px * rows}">'
        f"<style>{escape(chart_style(), quote=False)}</style>"
        f'<rect width="100%" height="100%" style="fill:var(--page)"/>{"".join(cells)}</svg>\n',
    )


def _cell(chart: Chart, x_px: int, y_px: int, cell_px: int) -> str:
    right_px = _NAMES_PX if any(label for _, label in chart.line_labels) else _RIGHT_PX
    width_px = chart.height_px if chart.square else cell_px - _LEFT_PX - right_px
    title = f'<text class="title" x="-40" y="-30">{escape(chart.title)}</text>'
    # a nested element's width and margins come from its attributes, not from chart.css
    return (
        f'<g class="chart"><svg x="{x_px + _LEFT_PX}" y="{y_px + _ABOVE_PX}" width="{width_px}" '
        f'height="{chart.height_px}" overflow="visible">{title}{chart_body(chart)}</svg></g>'
    )


def _stylesheet(name: str) -> str:
    return files("handover_client.report").joinpath(f"templates/{name}").read_text("utf-8")
