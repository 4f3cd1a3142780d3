"""The folder of an open-loop evaluation: figures, trajectories, plots and report.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handover_client.replay.evaluation import Evaluation
from handover_client.report.page import render_runs
from handover_client.report.replay import episode_charts, replay_section, summary_charts
from handover_client.report.sheet import write_sheet
from handover_client.results.run_folder import write_file, write_json, write_json_lines


def write_replay(folder: Path, evaluation: Evaluation, figures: Mapping[str, Any]) -> None:
    """Write everything about a run into `folder`."""
    write_json(folder / "metrics.json", figures)
    write_json_lines(folder / "trajectories.jsonl", figures["per_trajectory"])
    _write_actions(folder / "actions.npz", evaluation)
    _write_plots(folder, figures)
    write_file(folder / "report.html", render_runs([replay_section(folder, figures)]))


def _write_actions(path: Path, evaluation: Evaluation) -> None:
    arrays = {}
    for each in evaluation.trajectories:
        arrays[f"predicted_{each.episode}"] = each.predicted
        arrays[f"demonstrated_{each.episode}"] = each.demonstrated
    np.savez_compressed(path, **arrays)


def _write_plots(folder: Path, figures: Mapping[str, Any]) -> None:
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    for episode, charts in episode_charts(folder, figures, figures["episodes"]):
        write_sheet(plots / f"episode_{episode:06d}.svg", charts, columns=2)
    for chart in summary_charts(figures):
        write_sheet(plots / f"{chart.title.lower().replace(' ', '_')}.svg", [chart])
