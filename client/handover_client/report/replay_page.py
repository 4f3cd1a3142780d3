"""The folder of an open-loop evaluation: figures, trajectories, plots and report.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from handover_client.baselines import TITLES
from handover_client.evaluation import Evaluation
from handover_client.figures import HEADLINE_THRESHOLD
from handover_client.report.drawing import look, save_png, themed_svg
from handover_client.report.page import render
from handover_client.report.replay_plots import (
    plot_error_in_chunk,
    plot_error_over_time,
    plot_joints,
)
from handover_client.report.stages import stage_shares
from handover_client.run_folder import write_file, write_json, write_json_lines
from handover_client.score_table import COLUMN_GROUPS, percent, score_cells

_MOST_PLOTS_IN_PAGE = 9  # each adds some 100 kB; plots/ has them all


def write_replay(folder: Path, evaluation: Evaluation, figures: Mapping[str, Any]) -> None:
    """Write everything about a run into `folder`."""
    write_json(folder / "metrics.json", figures)
    write_json_lines(folder / "trajectories.jsonl", figures["per_trajectory"])
    _write_actions(folder / "actions.npz", evaluation)
    with look():
        page = _page(folder / "plots", evaluation, figures)
    write_file(folder / "report.html", page)


def _write_actions(path: Path, evaluation: Evaluation) -> None:
    arrays = {}
    for each in evaluation.trajectories:
        arrays[f"predicted_{each.episode}"] = each.predicted
        arrays[f"demonstrated_{each.episode}"] = each.demonstrated
    np.savez_compressed(path, **arrays)


def _page(plots: Path, evaluation: Evaluation, figures: Mapping[str, Any]) -> str:
    plots.mkdir()
    shown = _episodes_to_show(figures)
    rate_hz = figures["rate_hz"]
    joints = {}
    for each in evaluation.trajectories:
        drawn = plot_joints(each, evaluation.headline, rate_hz)
        save_png(drawn, plots / f"episode_{each.episode:06d}.png")
        if each.episode in shown:
            joints[each.episode] = Markup(themed_svg(drawn))
    over_time = plot_error_over_time(figures["error_over_time"], rate_hz)
    save_png(over_time, plots / "error_over_time.png")
    in_chunk = plot_error_in_chunk(figures["error_in_chunk"])
    save_png(in_chunk, plots / "error_in_chunk.png")
    return render(
        "replay.html.j2",
        {
            "figures": figures,
            "headline": figures[figures["headline"]],
            "headline_title": evaluation.headline.title,
            "threshold": HEADLINE_THRESHOLD,
            "column_groups": COLUMN_GROUPS,
            "cells": score_cells,
            "percent": percent,
            "ways": TITLES,
            "joint_plots": joints,
            "error_over_time": Markup(themed_svg(over_time)),
            "error_in_chunk": Markup(themed_svg(in_chunk)),
            "stages": stage_shares(figures["latency_ms"]),
        },
    )


def _episodes_to_show(figures: Mapping[str, Any]) -> list[int]:
    """Choose the episodes whose plots go into the page: spread evenly from easiest to hardest."""
    key = figures["headline"]
    by_error = sorted(figures["per_trajectory"], key=lambda each: each[key]["mse"])
    places = np.linspace(0, len(by_error) - 1, min(len(by_error), _MOST_PLOTS_IN_PAGE))
    return [by_error[round(place)]["episode"] for place in places]
