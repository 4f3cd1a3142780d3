"""Report section of a driven session, read from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_client.results.formatting import percent, policy_name


def drive_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _drive.html.j2 for the session in `folder`, with these figures."""
    return {
        "template": "_drive.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "percent": percent,
    }
