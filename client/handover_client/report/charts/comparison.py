"""Charts of a comparison: errors or successes over time, outcomes over the table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handover_client.replay.evaluation import POLICY
from handover_client.report.charts.replay import squared_unit
from handover_client.report.charts.rollout import share_line, square_scales
from handover_client.report.charts.svg import Chart, Dots, Line, scale

RUN_ROLES = {"before": "hold", "after": "predicted"}
# (success before, success after): how the episode is drawn, and its words
_OUTCOMES = {
    (True, True): ("good", "circle", "success in both"),
    (False, True): ("predicted", "circle", "only after"),
    (True, False): ("hold", "cross", "only before"),
    (False, False): ("bad", "cross", "failure in both"),
}
OUTCOME_KEYS = tuple(_OUTCOMES.values())


def compare_charts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Chart]:
    """Draw two runs' metrics.json over each other."""
    if before["kind"] == "replay":
        # a file of figures alone may lack the errors of single steps
        both = all(run["error_over_time"] for run in (before, after))
        return [_errors(before, after)] if both else []
    return [_successes(before, after), *_start_poses(before, after)]


def _errors(before: Mapping[str, Any], after: Mapping[str, Any]) -> Chart:
    curves = [run["error_over_time"][POLICY] for run in (before, after)]
    rate_hz, part = before["rate_hz"], before["parts"][before["headline"]]
    return Chart(
        "Error over time",
        scale("time, s", 0.0, (max(map(len, curves)) - 1) / rate_hz, 8),
        scale(f"MSE of a step, {squared_unit(part)}", 0.0, 1.05 * max(map(max, curves)) or 1.0, 4),
        tuple(
            Line(np.arange(len(curve)) / rate_hz, curve, role, name)
            for curve, (name, role) in zip(curves, RUN_ROLES.items(), strict=True)
        ),
        height_px=220,
    )


def _successes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Chart:
    ends_s = [run["settings"]["max_steps"] / run["control_rate_hz"] for run in (before, after)]
    lines = []
    for run, (name, role) in zip((before, after), RUN_ROLES.items(), strict=True):
        times_s = [each["time_to_success_s"] for each in run["per_episode"] if each["success"]]
        lines.append(
            share_line(times_s, len(run["per_episode"]), max(ends_s), role, name, "strong")
        )
    return Chart(
        "Success over time",
        scale("simulated time, s", 0.0, max(ends_s), 8),
        scale("episodes that succeeded, %", 0.0, 102.0, 4),
        tuple(lines),
        height_px=220,
    )


def _start_poses(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Chart]:
    later = {each["seed"]: each for each in after["per_episode"]}
    both = [(each, later[each["seed"]]) for each in before["per_episode"] if each["seed"] in later]
    if not both:
        return []
    poses = np.array([each["start_poses"] for each, _ in both])  # (episodes, objects, 7)
    outcomes = [(each["success"], other["success"]) for each, other in both]
    return [
        _pose_chart(f"{name} at the start", poses[:, place, :2], outcomes)
        for place, name in enumerate(before["objects"])
    ]


def _pose_chart(title: str, points: np.ndarray, outcomes: Sequence[tuple[bool, bool]]) -> Chart:
    x, y = square_scales(points)
    marks = []
    for outcome, (role, shape, label) in _OUTCOMES.items():
        chosen = points[[each == outcome for each in outcomes]]
        marks.append(Dots(*chosen.T, role=role, shape=shape, label=label))
    return Chart(title, x, y, tuple(marks), height_px=300, square=True)
