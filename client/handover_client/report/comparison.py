"""The page about two runs: what changed, then each run's own report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handover_client.comparison.comparison import Comparison
from handover_client.errors import EvaluationError
from handover_client.report.charts.comparison import OUTCOME_KEYS, RUN_ROLES, compare_charts
from handover_client.report.charts.svg import inline_svg
from handover_client.report.page import render
from handover_client.report.run import run_section


def compare_page(
    comparison: Comparison, folders: Sequence[Path], runs: Sequence[Mapping[str, Any]]
) -> str:
    """Render the page; folders and metrics.json of the run before and of the run after."""
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
                (name, *_section(folder, figures))
                for name, folder, figures in zip(RUN_ROLES, folders, runs, strict=True)
            ],
        },
    )


def _section(folder: Path, figures: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Gather a run's own report; where only its figures are kept, say so instead."""
    try:
        return run_section(folder, figures), ""
    except EvaluationError as error:
        return None, str(error)
