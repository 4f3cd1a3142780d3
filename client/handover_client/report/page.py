"""Turning a template and its context into one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from handover_client.report.sheet import chart_style


def render_runs(sections: Sequence[Mapping[str, Any]]) -> str:
    """Render a report of one or more runs; a section names its template and what that shows."""
    return render("report.html.j2", {"sections": sections})


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template of this package's templates/, with the reports' style in it."""
    environment = Environment(
        loader=PackageLoader("handover_client.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = files("handover_client.report").joinpath("templates/style.css").read_text("utf-8")
    return environment.get_template(template).render(style=Markup(chart_style() + style), **context)
