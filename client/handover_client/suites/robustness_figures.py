"""Figures of the robustness suite: each cell's success, and its difference to the control."""

from collections.abc import Mapping
from typing import Any

from handover_envs.perturbations import Axis

from handover_client.suites.pairs import PAIRED, difference_figures

ENOUGH = 0.8  # an axis's strength is too much where success is below it

DEFINITIONS = {
    **PAIRED,
    "falls_below_80_at": "the weakest strength at which the success rate is below 80 %",
    "not_played": "strengths at which the axis changes nothing of this task, which would be the "
    "control once more, and why",
}
_KEPT = ("episodes", "successes", "success_rate", "wilson_95", "strict", "wall_s")


def axis_figures(
    axis: Axis,
    control: Mapping[str, Any],
    cells: Mapping[int, Mapping[str, Any]],
    not_played: Mapping[int, str],
) -> dict[str, Any]:
    """Summarise one axis; cells: {strength: its metrics.json}, not_played: {strength: why}."""
    summaries = [
        {
            "strength": strength,
            "means": axis.strengths[strength - 1],
            **cell_figures(cell),
            **difference_figures(control, cell),
        }
        for strength, cell in cells.items()
    ]
    too_much = [each["strength"] for each in summaries if each["success_rate"] < ENOUGH]
    return {
        "axis": axis.name,
        "what": (axis.__doc__ or "").partition("\n")[0],
        "cells": summaries,
        "not_played": [
            {"strength": strength, "means": axis.strengths[strength - 1], "reason": reason}
            for strength, reason in not_played.items()
        ],
        "falls_below_80_at": min(too_much, default=None),
    }


def cell_figures(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a suite shows of a rollout."""
    return {name: cell[name] for name in _KEPT}


def failed_beside_control(control: Mapping[str, Any], cell: Mapping[str, Any]) -> int | None:
    """Return the first episode that failed where the control succeeded; else None."""
    for ours, theirs in zip(cell["per_episode"], control["per_episode"], strict=True):
        if theirs["success"] and not ours["success"]:
            return ours["episode"]
    return None
