"""The folder of a rollout: figures, plots and report.html with its videos inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover_client.report.page import render_runs
from handover_client.report.rollout import rollout_charts, rollout_section
from handover_client.report.sheet import write_sheet
from handover_client.results.run_folder import write_file, write_json
from handover_client.rollout.record import EpisodeRecord


def write_rollout(
    folder: Path, figures: Mapping[str, Any], records: Sequence[EpisodeRecord]
) -> None:
    """Write metrics.json, the plots and report.html into `folder`, beside videos/."""
    write_json(folder / "metrics.json", figures)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)  # an interrupted run may have made it
    for name, charts in rollout_charts(figures, records).items():
        write_sheet(plots / f"{name}.svg", charts, columns=len(charts))
    write_file(folder / "report.html", render_runs([rollout_section(folder, figures, records)]))
