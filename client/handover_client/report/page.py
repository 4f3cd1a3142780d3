"""Report page: one HTML file that needs no other, with a section per evaluation run."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from handover_common import write_text
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from handover_client.comparison.leaderboard import COSTS, Board
from handover_client.errors import EvaluationError
from handover_client.report.charts.svg import chart_style
from handover_client.report.drive import drive_section
from handover_client.report.replay import replay_section
from handover_client.report.rollout import (
    latency_section,
    robustness_section,
    rollout_section,
)
from handover_client.results.formatting import percent

_SECTIONS = {
    "replay": replay_section,
    "rollout": rollout_section,
    "robustness": robustness_section,
    "latency": latency_section,
    "drive": drive_section,
}


def write_report(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write report.html of a run into its folder, where everything else about it is already."""
    section = _SECTIONS[figures["kind"]](folder, figures)
    write_text(folder / "report.html", render_runs([section]))


def render_runs(sections: Sequence[Mapping[str, Any]]) -> str:
    """Render a report of one or more runs; a section names its template and holds its content."""
    return render("report.html.j2", {"sections": sections})


def render_leaderboards(boards: Sequence[Board]) -> str:
    """Render a page of leaderboards."""
    runs = sum(len(board.rows) for board in boards)
    context = {"boards": boards, "runs": runs, "costs": COSTS, "percent": percent}
    return render("leaderboard.html.j2", context)


def run_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather a section of the page; `figures` is the metrics.json of `folder`.

    Raises EvaluationError for files that are missing, or not those of an evaluation.
    """
    if figures["kind"] not in _SECTIONS:
        raise EvaluationError(
            f"{folder} holds a run of the kind {figures['kind']!r}: expected {', '.join(_SECTIONS)}"
        )
    try:
        return _SECTIONS[figures["kind"]](folder, figures)
    except OSError as error:
        raise EvaluationError(f"{folder} is incomplete: {error}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{folder} holds a run that this version cannot show ({type(error).__name__}: {error})"
        ) from None


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template of this package's templates/, with the reports' style and script in it."""
    environment = Environment(
        loader=PackageLoader("handover_client.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = chart_style() + _read("style.css")
    script = _read("player.js")
    # the page may run this script and no other, and fetch nothing: the browser sees to it
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup(style), script=Markup(script), script_hash=Markup(digest), **context
    )


def _read(name: str) -> str:
    return files("handover_client.report").joinpath(f"templates/{name}").read_text("utf-8")
