"""Page of a comparison: the differences between two runs, then each run's own report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_common import write_text
from markupsafe import Markup

from handover_client.comparison.comparison import Comparison
from handover_client.comparison.run import known_figures
from handover_client.errors import EvaluationError
from handover_client.report.charts.comparison import OUTCOME_KEYS, RUN_ROLES, compare_charts
from handover_client.report.charts.svg import inline_svg
from handover_client.report.page import render, run_section


def write_comparison(
    path: Path,
    comparison: Comparison,
    places: tuple[Path, Path],
    runs: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    """Write the page; places and metrics.json of the run before and of the run after.

    Raises EvaluationError where figures that the page needs are not in the runs.
    """
    with known_figures(*places):
        page = _page(comparison, places, runs)
    write_text(path, page)


def _page(
    comparison: Comparison,
    places: tuple[Path, Path],
    runs: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> str:
    charts = [(chart, Markup(inline_svg(chart))) for chart in compare_charts(*runs)]
    return render(
        "compare.html.j2",
        {
            "comparison": comparison,
            "charts": [(chart, svg) for chart, svg in charts if not chart.square],
            "poses": [(chart, svg) for chart, svg in charts if chart.square],
            "outcomes": OUTCOME_KEYS,
            "roles": RUN_ROLES,
            "runs": [
                (name, *_section(place, figures))
                for name, place, figures in zip(RUN_ROLES, places, runs, strict=True)
            ],
        },
    )


def _section(place: Path, figures: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Gather a run's own report; where only its figures are kept, the reason instead."""
    if place.is_file():
        return None, f"{place} holds its figures alone"
    try:
        return run_section(place, figures), ""
    except EvaluationError as error:
        return None, str(error)
