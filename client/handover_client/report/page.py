"""Turning a template and its context into one HTML file that needs no other."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from handover_client.report.palette import css_variables


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
    return environment.get_template(template).render(
        style=Markup(css_variables() + style), **context
    )
