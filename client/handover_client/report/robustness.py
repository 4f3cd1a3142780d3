"""Report section of a robustness suite, and its lines for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_client.report.videos import data_uri
from handover_client.results.formatting import percent, policy_name


def robustness_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _robustness.html.j2 for the suite in `folder`."""
    videos = [
        (axis, [(kind, data_uri(folder / pair[kind])) for kind in ("control", "changed")])
        for axis in figures["axes"]
        if (pair := axis["videos"])
    ]
    return {
        "template": "_robustness.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "percent": percent,
        "points": points,
        "videos": videos,
    }


def points(share: float) -> str:
    """Write a difference of shares in percentage points: -0.125 as −12."""
    return f"{100 * share:+.0f}".replace("-", "−")


def robustness_lines(figures: Mapping[str, Any]) -> list[str]:
    """Write the suite as lines of text: the control, then each axis with its strengths."""
    control = figures["control"]
    lines = [
        f"robustness: {policy_name(figures)} on {figures['settings']['task']}, "
        f"{control['episodes']} seeds a cell",
        f"{'control':<14}{percent(control['success_rate']):>7}",
    ]
    for axis in figures["axes"]:
        cells = "   ".join(
            f"{percent(cell['success_rate']):>7} ({points(cell['difference'])})"
            for cell in axis["cells"]
        )
        too_much = axis["falls_below_80_at"]
        end = f"below 80 % at {too_much}" if too_much else "80 % at every strength"
        lines.append(f"{axis['axis']:<14}{cells}   {end}")
    return lines
