"""Report section of an open-loop evaluation, read from its folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from handover_client.replay.baselines import TITLES
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.report.charts.replay import (
    error_in_chunk_chart,
    error_over_time_chart,
    squared_unit,
)
from handover_client.report.charts.svg import Chart, inline_svg
from handover_client.report.episodes import Curve, group_charts, shown_episodes
from handover_client.report.tables import COLUMN_GROUPS, score_cells, stage_rows
from handover_client.report.views import MOST_BYTES, read_views
from handover_client.results.formatting import percent, policy_name

_FLATTEST = 0.1  # of whatever unit: a joint at rest is not shown as magnified noise


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
        "episodes": list(_episodes(folder, figures)),
        "unit": squared_unit(part).replace("²", ""),
        "summaries": [
            (chart, note, Markup(inline_svg(chart))) for chart, note in _summary_charts(figures)
        ],
        "stages": stage_rows(figures["latency_ms"]),
    }


def _episodes(folder: Path, figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Describe some episodes: each camera's view beside the joints, from the run's files."""
    part, rate_hz = figures["parts"][figures["headline"]], figures["rate_hz"]
    asked = {each["episode"]: each["inference_steps"] for each in figures["per_trajectory"]}
    units = part.get("units") or [""] * len(part["values"])  # older runs have no record of them
    room = MOST_BYTES
    with np.load(folder / "actions.npz", allow_pickle=False) as actions:
        for episode in shown_episodes(figures):
            predicted, demonstrated = (
                actions[f"{kind}_{episode}"][:, part["columns"]]
                for kind in ("predicted", "demonstrated")
            )
            curves = {
                name.replace("_", " ") + (f", {unit}" if unit else ""): (
                    Curve(demonstrated[:, place], "demonstrated", "thick"),
                    Curve(predicted[:, place], "predicted", rings=asked[episode]),
                )
                for place, (name, unit) in enumerate(zip(part["values"], units, strict=True))
            }
            cameras = read_views(folder, episode, room)
            room -= sum(len(camera.source) for camera in cameras) * 3 // 4
            yield {
                "index": episode,
                "cameras": cameras,
                "groups": [group_charts(part["title"], curves, rate_hz, _FLATTEST)],
                "seconds": len(predicted) / rate_hz,
            }


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
