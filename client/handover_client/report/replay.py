"""Report section of an open-loop evaluation, read from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from handover_client.replay.baselines import TITLES
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.report.charts.replay import (
    Track,
    error_in_chunk_chart,
    error_over_time_chart,
    joint_charts,
    squared_unit,
)
from handover_client.report.charts.svg import Chart, inline_svg
from handover_client.report.tables import COLUMN_GROUPS, score_cells, stage_rows
from handover_client.results.formatting import percent, policy_name

_MOST_EPISODES_IN_PAGE = 9  # each adds some 60 kB; actions.npz has them all


def replay_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _replay.html.j2 for the run in `folder`, with these figures."""
    part = figures["parts"][figures["headline"]]
    own = figures[figures["headline"]]
    return {
        "template": "_replay.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "headline": own,
        "headline_title": part["title"],
        "interval": own["interval_95"],
        "threshold": HEADLINE_THRESHOLD,
        "column_groups": COLUMN_GROUPS,
        "cells": score_cells,
        "percent": percent,
        "methods": TITLES,
        "joints": {
            episode: [Markup(inline_svg(chart)) for chart in charts]
            for episode, charts in _episode_charts(folder, figures)
        },
        "summaries": [
            (chart, note, Markup(inline_svg(chart))) for chart, note in _summary_charts(figures)
        ],
        "stages": stage_rows(figures["latency_ms"]),
    }


def _episode_charts(folder: Path, figures: Mapping[str, Any]) -> list[tuple[int, list[Chart]]]:
    """Draw the joints of some episodes, from the run's actions.npz: [(episode, its charts)]."""
    part = figures["parts"][figures["headline"]]
    asked = {each["episode"]: each["inference_steps"] for each in figures["per_trajectory"]}
    drawn = []
    with np.load(folder / "actions.npz", allow_pickle=False) as actions:
        for episode in _shown(figures):
            predicted, demonstrated = (
                actions[f"{kind}_{episode}"][:, part["columns"]]
                for kind in ("predicted", "demonstrated")
            )
            track = Track(predicted, demonstrated, asked[episode])
            drawn.append((episode, joint_charts(track, part["values"], figures["rate_hz"])))
    return drawn


def _summary_charts(figures: Mapping[str, Any]) -> list[tuple[Chart, str]]:
    """Draw the charts about all trajectories together: [(chart, a note about it)]."""
    part = figures["parts"][figures["headline"]]
    unit = squared_unit(part)
    return [
        (
            error_over_time_chart(figures["error_over_time"], figures["rate_hz"], unit),
            f"Squared error of each step, averaged over the trajectories, {part['title']}. "
            "The axis is scaled to the policy: a baseline may leave it.",
        ),
        (
            error_in_chunk_chart(figures["error_in_chunk"], unit),
            "The same by the step's place in its chunk: how fast a prediction ages.",
        ),
    ]


def _shown(figures: Mapping[str, Any]) -> list[int]:
    """Choose the episodes whose joints go into the page: spread from easiest to hardest."""
    key = figures["headline"]
    by_error = sorted(figures["per_trajectory"], key=lambda each: each[key]["mse"])
    places = np.linspace(0, len(by_error) - 1, min(len(by_error), _MOST_EPISODES_IN_PAGE))
    return [by_error[round(place)]["episode"] for place in places]
